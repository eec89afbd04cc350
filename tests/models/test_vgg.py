"""The small VGG: its shapes and parameters by hand, and what timm and other image sides ask of it."""

import pytest
import timm
import torch

from fer_hub import FERModel
from fer_hub.models.paper_cnn import LUMA
from fer_hub.models.vgg import VGG


def test_parameters_by_hand():
    convolutions = 9 * (1 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256)
    norms = 2 * 2 * (32 + 64 + 128 + 256)
    assert sum(p.numel() for p in VGG().parameters()) == convolutions + norms + 256 * 7 + 7 == 1_174_439


def test_stages_have_the_widths_and_depths_that_are_asked_for():
    model = VGG(widths=(4, 8, 12), depths=(1, 3, 2)).eval()
    widths = [layer.out_channels for layer in model.features if isinstance(layer, torch.nn.Conv2d)]
    assert widths == [4, 8, 8, 8, 12, 12]
    assert model.forward_features(torch.rand(2, 1, 48, 48)).shape == (2, 12, 12, 12)
    assert model.forward_head(torch.rand(2, 12, 12, 12), pre_logits=True).shape == (2, 12)


@pytest.mark.parametrize("side", [8, 40, 48, 64])
def test_takes_images_of_other_sides(side):
    assert VGG().eval()(torch.rand(2, 1, side, side)).shape == (2, 7)


def test_prediction_sees_the_middle_and_training_what_it_gets():
    whole = VGG(widths=(4, 8), depths=(1, 1))
    middle = VGG(widths=(4, 8), depths=(1, 1), center=40)
    middle.load_state_dict(whole.state_dict())
    images = torch.rand(2, 1, 48, 48)
    piece = images[:, :, 4:44, 4:44]
    torch.testing.assert_close(middle.train()(images), whole.train()(images))
    expected = whole.eval()(piece)
    torch.testing.assert_close(middle.eval()(images), expected)
    torch.testing.assert_close(middle(piece), expected)
    assert middle(images[:, :, :32]).shape == (2, 7)  # a side below it stays as it is
    assert not torch.allclose(whole(images), expected)


def test_a_gray_network_sees_the_luma_of_colours():
    model, colours = VGG().eval(), torch.rand(2, 3, 48, 48)
    luma = (colours * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(model(colours), model(luma))
    assert VGG(in_chans=3).eval()(colours).shape == (2, 7)  # its own three channels are left alone


def test_timm_opens_it_and_changes_its_last_layer():
    model = timm.create_model("fer_vgg", num_classes=8, drop_rate=0.25, widths=(8, 16), depths=(1, 1)).eval()
    assert (model.dropout.p, model.get_classifier().out_features, model.num_features) == (0.25, 8, 16)
    model.reset_classifier(0)
    assert model(torch.rand(1, 1, 48, 48)).shape == (1, 16)


def test_a_model_folder_keeps_the_widths(tmp_path):
    torch.manual_seed(0)
    model = FERModel("fer_vgg", mean=0.5, std=0.25, model_args={"widths": [4, 8], "depths": [1, 2]}).eval()
    model.save_pretrained(tmp_path / "model")
    again = FERModel.from_pretrained(tmp_path / "model")
    images = torch.randint(0, 256, (3, 48, 48), dtype=torch.uint8)
    assert again.num_parameters == model.num_parameters == 9 * (4 + 32 + 64) + 2 * (4 + 8 + 8) + 8 * 7 + 7
    assert torch.equal(again(images), model(images))
