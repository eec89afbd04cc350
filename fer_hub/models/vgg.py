"""A small VGG with batch normalization, for 48x48 faces on one CPU core; registered with timm as `fer_vgg`."""

from collections.abc import Sequence

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from fer_hub.models.paper_cnn import gray_cfg, to_gray


class VGG(nn.Module):
    """Stages of 3x3 convolutions with batch normalization and ReLU, 2x2 max pooling between them, then their mean.

    Simonyan & Zisserman 2015, with the mean over places (Lin et al. 2014) instead of dense layers: it takes images of
    any side that its poolings leave something of, so training may see smaller pieces than prediction does.

    Args:
        num_classes: outputs of the last layer; 0 leaves it out, and the features come back.
        in_chans: channels of the images.
        drop_rate: dropout before the last layer.
        widths: channels of each stage.
        depths: convolutions of each stage.
        center: side of the image's middle that prediction sees; None for all of it. A network that was trained on
            pieces knows faces at their size: on the middle of that size it is better and faster than on the whole.
    """

    def __init__(
        self,
        num_classes: int = 7,
        in_chans: int = 1,
        drop_rate: float = 0.0,
        widths: Sequence[int] = (32, 64, 128, 256),
        depths: Sequence[int] = (2, 2, 2, 2),
        center: int | None = None,
    ):
        super().__init__()
        self.num_classes, self.in_chans, self.drop_rate, self.center = num_classes, in_chans, drop_rate, center
        self.num_features = self.head_hidden_size = widths[-1]
        layers, channels = [], in_chans
        for width, depth in zip(widths, depths, strict=True):
            if layers:
                layers.append(nn.MaxPool2d(2))
            for _ in range(depth):
                layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
                layers.append(nn.ReLU(inplace=True))
                channels = width
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(drop_rate)
        self.classifier = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Images, float (B, in_chans, H, W) -> feature maps, float (B, widths[-1], H / 8, W / 8) with four stages.

        In evaluation mode H and W are at most `center`.

        A gray network takes RGB images (B, 3, H, W) in 0..1 as well, and sees their luma.
        """
        if self.center and not self.training:
            top, left = ((side - self.center) // 2 for side in x.shape[2:])
            x = x[:, :, max(0, top) :, max(0, left) :][:, :, : self.center, : self.center]
        return self.features(to_gray(x) if self.in_chans == 1 else x)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Feature maps -> logits (B, num_classes), or features (B, widths[-1]) with `pre_logits`."""
        x = self.dropout(x.mean((2, 3)))
        return x if pre_logits else self.classifier(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images as for `forward_features` -> logits (B, num_classes)."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """The last layer (timm's interface)."""
        return self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Puts a freshly initialized last layer in place (timm's interface)."""
        self.num_classes = num_classes
        self.classifier = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()


default_cfgs = generate_default_cfgs({"fer_vgg": gray_cfg("features.0")})


@register_model
def fer_vgg(pretrained: bool = False, **kwargs) -> VGG:
    """The entry point for timm: `timm.create_model("fer_vgg")` after `import fer_hub.models.model`."""
    return build_model_with_cfg(VGG, "fer_vgg", pretrained, **{"in_chans": 1, **kwargs})
