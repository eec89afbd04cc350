"""The CNN of Bedi & Ravi 2024, Figure 2: 619,015 parameters, registered with timm as `fer_paper_cnn`."""

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as PIL converts to L


class PaperCNN(nn.Module):
    """Three 3x3 convolutions with 2x2 max pooling, then two dense layers.

    | layer | output (C, H, W) | parameters |
    |---|---|---|
    | conv1 3x3, ReLU | 32, 46, 46 | 320 |
    | max pool 2x2 | 32, 23, 23 | |
    | conv2 3x3, ReLU | 64, 21, 21 | 18,496 |
    | max pool 2x2 | 64, 10, 10 | |
    | conv3 3x3, ReLU | 128, 8, 8 | 73,856 |
    | max pool 2x2 | 128, 4, 4 | |
    | dense, ReLU, dropout | 256 | 524,544 |
    | classifier | 7 | 1,799 |

    Args:
        num_classes: outputs of the last layer; 0 leaves it out, and the 256 features come back.
        in_chans: channels of the images.
        drop_rate: dropout after the dense layer.
    """

    def __init__(self, num_classes: int = 7, in_chans: int = 1, drop_rate: float = 0.0):
        super().__init__()
        self.num_classes, self.in_chans, self.drop_rate = num_classes, in_chans, drop_rate
        self.num_features = self.head_hidden_size = 256
        self.conv1 = nn.Conv2d(in_chans, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.conv3 = nn.Conv2d(64, 128, 3)
        self.dense = nn.Linear(2048, 256)
        self.dropout = nn.Dropout(drop_rate)
        self.classifier = nn.Linear(256, num_classes) if num_classes else nn.Identity()
        self.apply(_initialize_as_keras)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Images, float (B, in_chans, 48, 48) -> feature maps, float (B, 128, 4, 4).

        A gray network takes RGB images (B, 3, 48, 48) as well, in 0..1, and sees their luma: transformers' pipeline
        hands over nothing else.
        """
        if self.in_chans == 1:
            x = to_gray(x)
        # ReLU and max commute, so ReLU after the pooling is the paper's function on a quarter of the elements.
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        return F.relu(F.max_pool2d(self.conv3(x), 2))

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Feature maps, float (B, 128, 4, 4) -> logits (B, num_classes), or 256 features with `pre_logits`."""
        x = self.dropout(F.relu(self.dense(x.flatten(1))))
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
        self.classifier = nn.Linear(256, num_classes) if num_classes else nn.Identity()
        _initialize_as_keras(self.classifier)


def to_gray(x: torch.Tensor) -> torch.Tensor:
    """RGB in 0..1, float (B, 3, H, W) -> luma (B, 1, H, W); one channel stays as it is."""
    return (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True) if x.shape[1] == 3 else x


def _initialize_as_keras(module: nn.Module) -> None:
    """Keras's defaults: Glorot uniform weights, zero biases. The paper names no other."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def gray_cfg(first_conv: str) -> dict:
    """What timm has to know of a network for 48x48 gray faces with seven classes.

    Args:
        first_conv: the name of its first layer.
    """
    return {
        "input_size": (1, 48, 48),
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "mean": (0.0,),
        "std": (1.0,),
        "num_classes": 7,
        "first_conv": first_conv,
        "classifier": "classifier",
    }


default_cfgs = generate_default_cfgs({"fer_paper_cnn": gray_cfg("conv1")})


@register_model
def fer_paper_cnn(pretrained: bool = False, **kwargs) -> PaperCNN:
    """The entry point for timm: `timm.create_model("fer_paper_cnn")` after `import fer_hub.models.model`."""
    return build_model_with_cfg(PaperCNN, "fer_paper_cnn", pretrained, **{"in_chans": 1, **kwargs})
