import numpy as np
import pytest
import torch
from torch import nn

from robustkit.errors import InputError
from robustkit.latent.embeddings import check_flat, embed_images
from robustkit.models import AuditedClassifier, ConvNet


def net(latent=None):
    torch.manual_seed(0)
    return AuditedClassifier(ConvNet(size=(16, 16)).eval(), latent=latent, input_shape=(3, 16, 16))


def test_batches_are_streamed_and_change_nothing():
    classifier, images, asked = net(), torch.rand(150, 3, 16, 16), []

    def read(start, stop):
        asked.append((start, stop))
        return images[start:stop]

    latents, logits = embed_images(classifier, read, 150)
    assert asked == [(0, 64), (64, 128), (128, 150)]
    assert (latents.dtype, latents.shape, logits.shape) == (np.float32, (150, 256), (150, 3))
    with torch.inference_mode():
        np.testing.assert_allclose(latents, classifier.embed(images), atol=1e-5)
        np.testing.assert_allclose(logits, classifier(images), atol=1e-5)


def test_latents_that_are_not_finite_are_refused():
    images = torch.rand(5, 3, 16, 16)
    images[3, 0, 4, 4] = torch.nan
    with pytest.raises(InputError, match="latents of 1 of 5 images are not finite, the first is image 3"):
        embed_images(net(), lambda start, stop: images[start:stop], 5)


def test_a_latent_with_places_is_refused():
    with pytest.raises(InputError, match=r"'features' is spatial, of shape \(32, 2, 2\)"):
        check_flat(net("features"))
    check_flat(net())


def test_a_pooled_latent_has_no_places():
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)).eval()
    check_flat(AuditedClassifier(module, latent="1", input_shape=(3, 16, 16)))
