"""The network of `fer-small`, for 48x48 faces on one CPU core; registered with timm as `fer_small_cnn`."""

from collections.abc import Sequence

import torch
from timm.layers import DropPath
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn
from torch.nn import functional as F

from fer_hub.paper_cnn import to_gray


class Residual(nn.Module):
    def __init__(self, channels_in: int, channels: int, drop_path: float):
        super().__init__()
        self.conv1 = ConvNormReLU(channels_in, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if channels_in != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.shortcut(x) + self.drop_path(self.norm2(self.conv2(self.conv1(x)))))


class ConvNormReLU(nn.Sequential):
    def __init__(self, channels_in: int, channels: int, kernel: int = 3, stride: int = 1):
        super().__init__(
            nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )


class SmallCNN(nn.Module):
    def __init__(
        self,
        num_classes: int = 7,
        in_chans: int = 1,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        widths: Sequence[int] = (32, 64, 128, 256),
        depths: Sequence[int] = (2, 2, 2, 2),
        residual: bool = False,
        stem: str = "",
    ):
        super().__init__()
        self.num_classes, self.in_chans, self.drop_rate = num_classes, in_chans, drop_rate
        self.num_features = self.head_hidden_size = widths[-1]
        layers, channels = [], in_chans
        if stem == "s2":
            layers.append(ConvNormReLU(channels, widths[0], 5, 2))
            channels = widths[0]
        elif stem == "pool":
            layers += [ConvNormReLU(channels, widths[0]), nn.MaxPool2d(2)]
            channels = widths[0]
        total, done = sum(depths), 0
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            if stage:
                layers.append(nn.MaxPool2d(2))
            for _ in range(depth):
                if residual and channels > 1:
                    layers.append(Residual(channels, width, drop_path_rate * done / total))
                else:
                    layers.append(ConvNormReLU(channels, width))
                channels = width
                done += 1
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(drop_rate)
        self.classifier = nn.Linear(channels, num_classes) if num_classes else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(to_gray(x) if self.in_chans == 1 else x)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = self.dropout(x.mean((2, 3)))
        return x if pre_logits else self.classifier(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        return self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.classifier = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()


default_cfgs = generate_default_cfgs(
    {
        "fer_small_cnn": {
            "input_size": (1, 48, 48),
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "mean": (0.0,),
            "std": (1.0,),
            "num_classes": 7,
            "first_conv": "features.0.0",
            "classifier": "classifier",
        }
    }
)


@register_model
def fer_small_cnn(pretrained: bool = False, **kwargs) -> SmallCNN:
    """The entry point for timm: `timm.create_model("fer_small_cnn")` after `import fer_hub.model`."""
    return build_model_with_cfg(SmallCNN, "fer_small_cnn", pretrained, **{"in_chans": 1, **kwargs})
