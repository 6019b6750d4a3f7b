# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""A function of Python in place of a checkpoint: it opens where a person names it, and never where a file does."""

import numpy as np
import pytest
import torch

from robustkit.auditing.request import read_request, request_of
from robustkit.code_gate import names_function, refuse_function_of_file
from robustkit.data import open_images
from robustkit.errors import InputError, SecurityError
from robustkit.models import BlackBox, ModelOptions, open_model

CODE = """
import numpy as np
import torch

def predict(images):
    return np.concatenate([images.mean((1, 2, 3))[:, None], images.std((1, 2, 3))[:, None]], 1)

class Net(torch.nn.Module):
    pass

live = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 2)).eval()
number = 3
"""


@pytest.fixture
def code(tmp_path):
    (tmp_path / "server.py").write_text(CODE)
    np.savez(tmp_path / "d.npz", images=np.random.default_rng(0).random((6, 3, 4, 4)), labels=np.arange(6) % 2)
    return tmp_path / "server.py"


def test_a_function_is_a_black_box_and_a_network_of_a_module_is_a_network(code):
    images = open_images(code.with_name("d.npz"))
    box = open_model(f"{code}:predict", images=images)
    assert isinstance(box.classifier, BlackBox)
    seen = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(box.classifier(seen)[:, 0], seen.mean((1, 2, 3)))
    assert open_model(f"{code}:live", images=images).classifier.latent_name is not None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Net", "is a class; give the file of its weights"),
        ("number", "no function 'number' from images to scores; it has predict"),
        ("missing", "no function 'missing'"),
    ],
)
def test_what_is_no_function_is_refused(code, name, words):
    with pytest.raises(InputError, match=words):
        open_model(f"{code}:{name}", images=open_images(code.with_name("d.npz")))


def test_an_ensemble_is_of_files(code):
    with pytest.raises(InputError, match="members of an ensemble are files"):
        open_model(f"{code}:predict", ModelOptions(members=(f"{code}:predict",)))


@pytest.mark.parametrize("field", ["model", "base"])
def test_an_audit_file_never_names_a_function(tmp_path, field):
    other = 'model = "a.pt"\n' if field == "base" else ""
    (tmp_path / "audit.toml").write_text(f'{other}{field} = "evil.py:predict"\n')
    with pytest.raises(SecurityError, match=f"a file never chooses code.*--{field}"):
        read_request(tmp_path / "audit.toml")
    asked = request_of(tmp_path / "audit.toml", {field: "mine.py:predict"})
    assert getattr(asked, field) == "mine.py:predict"


def test_only_what_is_no_file_can_be_a_function(tmp_path):
    (tmp_path / "net:v2").write_bytes(b"x")
    assert not names_function(tmp_path / "net:v2")
    assert not names_function("timm:resnet18")
    assert names_function("package.module:predict")
    refuse_function_of_file("ckpt.pt", file="a manifest")
    with pytest.raises(SecurityError, match="a manifest names code"):
        refuse_function_of_file("package.module:predict", file="a manifest")
