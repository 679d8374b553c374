from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import arch
import search
from search.engines.single import train
from search.engines.task import Task
from search.evaluation.predict import fetch
from search.progress import Silent
from search.record.predictions import Predictions
from tests.support import MICRO


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training with the images that it showed, as files."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = {"epochs": 2, "batch": 64, "precision": "fp32"}
    train(Task(str(folder), arch.to_mapping(arch.load(MICRO)), recipe, {"name": "digits"}, test=True), Silent())
    (folder / "images" / "inner").mkdir(parents=True)
    for i, image in enumerate(Predictions.read(folder / "predictions.npz").images[:6]):
        Image.fromarray(image).save(folder / "images" / ("inner" if i > 3 else "") / f"{i}.png")
    return folder


def test_an_image_gets_the_probabilities_that_it_had_in_its_data_set(trained: Path) -> None:
    kept = Predictions.read(trained / "predictions.npz")
    found = search.predict(trained, [trained / "images"], top=10)
    assert [Path(one.image).name for one in found] == [f"{i}.png" for i in range(6)]
    for one, index in zip(found, kept.shown, strict=False):
        values = [value for _, value in one.top]
        assert values == sorted(values, reverse=True)
        assert {name: pytest.approx(value, abs=1e-5) for name, value in one.top} == {
            name: float(value) for name, value in zip(kept.classes, kept.probabilities[index], strict=True)
        }
    three = search.predict(trained / "weights.safetensors", [trained / "images" / "0.png"], top=3, execution="plain")
    assert [name for name, _ in three[0].top] == [name for name, _ in found[0].top[:3]]


def test_other_sizes_and_kinds_are_brought_to_what_was_trained_on(trained: Path, tmp_path: Path) -> None:
    source = Image.open(trained / "images" / "0.png")
    source.resize((64, 64), Image.Resampling.NEAREST).save(tmp_path / "large.png")
    source.convert("L").save(tmp_path / "grey.png")
    Image.fromarray(np.asarray(source.convert("L")).astype(np.uint16) * 256).save(tmp_path / "deep.png")
    first, *others = search.predict(trained, [trained / "images" / "0.png", *sorted(tmp_path.glob("*.png"))], top=10)
    for other in others:
        assert dict(other.top) == pytest.approx(dict(first.top), abs=0.02), other.image


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    good = trained / "images" / "1.png"
    asked = [tmp_path / "broken.png", good, tmp_path / "empty", tmp_path / "missing.jpg", good]
    found = search.predict(trained, asked)
    assert [bool(one.error) for one in found] == [True, False, True, True, False]
    assert found[1].top == found[4].top
    assert found[0].record() == {"image": str(asked[0]), "error": found[0].error}
    for one, fragment in zip(
        (found[0], found[2], found[3]), ("broken.png", "without images", "missing.jpg"), strict=True
    ):
        assert fragment in one.error
    with pytest.raises(arch.InputError, match="no image is named"):
        search.predict(trained)


def test_class_names_from_a_file_replace_those_in_the_weights(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text(str({str(i): f"digit {i}" for i in range(10)}).replace("'", '"'))
    image = trained / "images" / "0.png"
    plain, named = (search.predict(trained, [image], classes_file=file)[0] for file in (None, tmp_path / "names.json"))
    assert [name for name, _ in named.top] == [f"digit {name}" for name, _ in plain.top]


class _Site(BaseHTTPRequestHandler):
    content = b""

    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        if self.path == "/slow":
            time.sleep(1.0)
        self.send_response(404 if self.path == "/none" else 200)
        self.end_headers()
        try:
            self.wfile.write(self.content * (200 if self.path == "/large" else 1))
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(trained: Path) -> Iterator[str]:
    _Site.content = (trained / "images" / "0.png").read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_an_address_is_fetched_within_limits(trained: Path, site: str) -> None:
    here, there = search.predict(trained, [trained / "images" / "0.png"], urls=[f"{site}/image"])
    assert there.image == f"{site}/image"
    assert there.top == here.top
    for url, limits, fragment in (
        (f"{site}/large", {"most": 10_000}, "larger than 10,000 bytes"),
        (f"{site}/slow", {"timeout": 0.2}, "0.2 s"),
        (f"{site}/none", {}, "404"),
        (f"{site}/away", {}, "cannot be fetched"),
        ("file:///etc/hostname", {}, "no http or https"),
        ("ftp://127.0.0.1/x", {}, "no http or https"),
    ):
        with pytest.raises(arch.InputError, match=fragment):
            fetch(url, **limits)  # type: ignore[arg-type]
    assert "404" in search.predict(trained, urls=[f"{site}/none"])[0].error
