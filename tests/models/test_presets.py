import re
import threading

import pytest
from published_files import beginning_of_hash, published

from keras_simplepose.conversion.provenance import DEFAULT_CODEC, Provenance, codec_of, skeleton_of
from keras_simplepose.core.codecs import CODECS
from keras_simplepose.core.skeletons import SKELETONS
from keras_simplepose.models.fetching import cache_folder, cached_path, fetch, weights_file
from keras_simplepose.models.files import SHIPPED
from keras_simplepose.models.presets import BACKBONE, KINDS, PERSON_DETECTOR, POSE_NETWORK, find_preset, presets
from keras_simplepose.utils.errors import UserError


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_described(name):
    preset = presets()[name]
    assert preset.kind in KINDS and preset.licence and preset.source and preset.protocol
    if preset.kind == POSE_NETWORK:
        assert preset.skeleton in SKELETONS and preset.codec in CODECS
    if not preset.address:
        assert SHIPPED[name].name == preset.file and SHIPPED[name].is_file()
        return
    assert preset.address.startswith("https://") and preset.address.endswith(preset.file) and preset.figure
    # Publishers that hash write the first digits into the name.
    assert re.findall(r"-([0-9a-f]{8})[_.]", preset.file) == ([preset.sha256] if preset.sha256 else [])
    if preset.kind == POSE_NETWORK:
        # What a publisher says of a file is what convert makes of its name.
        written, count = Provenance(preset.file), len(SKELETONS[preset.skeleton].keypoints)
        assert skeleton_of(written, count, name, "mmpose")[0] == preset.skeleton
        assert codec_of(written)[0] == preset.codec and (preset.codec == DEFAULT_CODEC or preset.codec in name)
    assert (preset.input_side % 32 == 0 and preset.input_side > 0) == (preset.kind == PERSON_DETECTOR)


def test_no_file_and_no_address_is_listed_twice():
    fetched = [each for each in presets().values() if each.address]
    assert len({each.address for each in fetched}) == len({each.file for each in fetched}) == len(fetched)
    assert set(SHIPPED) <= set(presets())


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("r152_384x2888", POSE_NETWORK, "pose network 'r152_384x2888' is unknown; the nearest are r152_384x288"),
        ("yolox_nan", PERSON_DETECTOR, "person detector 'yolox_nan' is unknown; the nearest are yolox_nano"),
        ("yolox_nano", POSE_NETWORK, "yolox_nano names a person detector, and a pose network is wanted"),
        ("small", BACKBONE, "small names a pose network, and a backbone is wanted"),
    ],
)
def test_a_wrong_name_is_answered(name, kind, message):
    with pytest.raises(UserError, match=message):
        find_preset(name, kind)


@pytest.mark.parametrize("path", ["runs/best", "best.keras", "a b", "~/x"])
def test_what_is_no_name_is_a_path(path):
    assert find_preset(path, POSE_NETWORK) is None and weights_file(path, BACKBONE) == path


@pytest.fixture
def features(tmp_path, monkeypatch):
    """A server with one file, and its preset."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "plain").write_bytes(bytes(range(256)) * 500)
    file = f"features-{beginning_of_hash(folder / 'plain')}.pth"
    (folder / "plain").rename(folder / file)
    with published(folder, monkeypatch, tmp_path / "home") as (server, list_presets):
        list_presets(backbone={"features": f'file = "{file}", sha256 = "{file[9:17]}"'})
        yield server, presets()["features"], folder / file


def test_a_file_is_fetched_once(features, capsys):
    server, preset, served = features
    path = fetch(preset)
    assert path == cached_path(preset) and path.read_bytes() == served.read_bytes()
    assert "licence: CC0" in capsys.readouterr().out
    assert fetch(preset) == path and weights_file("features", BACKBONE) == str(path)
    assert server.asked == [preset.file] and list(cache_folder().iterdir()) == [path]


def test_what_has_another_hash_is_not_kept(features):
    _, preset, served = features
    served.write_bytes(b"another")
    with pytest.raises(UserError, match="features: what http.* gave has the SHA-256 .*instead of"):
        fetch(preset)
    assert list(cache_folder().iterdir()) == []
    cached_path(preset).write_bytes(b"damaged")
    with pytest.raises(UserError, match="damaged or another; delete it"):
        fetch(preset)


def test_a_file_that_is_cut_off_is_not_kept(features, monkeypatch):
    server, preset, _ = features
    send_head = server.RequestHandlerClass.send_header

    def longer(self, name, value):
        send_head(self, name, str(int(value) + 1000) if name == "Content-Length" else value)

    monkeypatch.setattr(server.RequestHandlerClass, "send_header", longer)
    with pytest.raises(UserError, match="features: cannot be fetched"):
        fetch(preset)
    assert list(cache_folder().iterdir()) == []


def test_without_network_the_error_says_what_to_do(features, capsys):
    server, preset, served = features
    (served.parent / "moved").mkdir()
    hidden = served.rename(served.parent / "moved" / "elsewhere")
    with pytest.raises(UserError) as caught:
        fetch(preset)
    message = str(caught.value)
    assert "404" in message and f"get {preset.address} in another way and put it into {cache_folder()}" in message
    server.shutdown()
    server.server_close()  # Nobody listens any more.
    with pytest.raises(UserError, match="cannot be fetched .*refused"):
        fetch(preset)
    cached_path(preset).write_bytes(hidden.read_bytes())
    assert weights_file("features", BACKBONE) == str(cached_path(preset))


def test_several_may_fetch_at_once(features):
    server, preset, served = features
    server.together = threading.Barrier(3)  # None is answered before all have asked.
    found = []
    threads = [threading.Thread(target=lambda: found.append(fetch(preset).read_bytes())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [served.read_bytes()] * 3 and len(server.asked) == 3
    assert list(cache_folder().iterdir()) == [cached_path(preset)]
