"""The model that a training starts from: fresh weights, timm's, or a model of ours."""

from collections.abc import Callable

from fer_hub.models.model import FERModel
from fer_hub.models.network import require_crops
from fer_hub.recipes import TrainConfig


def create_model(config: TrainConfig, label_names: tuple[str, ...], say: Callable[[str], None]) -> FERModel:
    """The recipe's model in training mode, on the CPU.

    Args:
        config: the run.
        label_names: the classes of the data; a model that knows others gets a new last layer.
        say: takes the line that says so.

    Raises:
        UserError: the architecture, its weights or its arguments are of no use, or it does not take pieces of
            `crop_size`.
    """
    rates = {"drop_rate": config.drop_rate, "drop_path_rate": config.drop_path_rate}
    if config.init_from is None:
        model = FERModel(
            config.architecture,
            label_names,
            config.mean,
            config.std,
            model_args=config.model_args,
            pretrained=config.pretrained,
            **rates,
        )
    else:
        model = FERModel.from_pretrained(config.init_from, in_chans=1, **rates)
        model.temperature = model.abstention_threshold = None  # of the weights that the training changes
        if model.label_names != label_names:
            say(f"{config.init_from} knows {', '.join(model.label_names)}: its last layer is replaced by a new one.")
            model.replace_head(label_names)
    if config.crop_size:
        require_crops(model.network, model.in_chans, config.crop_size, model.architecture)
    return model.train()
