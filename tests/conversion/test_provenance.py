import dataclasses

import pytest

from keras_simplepose.conversion.provenance import DATA_SETS, Provenance, codec_of, named_data_sets, skeleton_of
from keras_simplepose.core import codecs, skeletons
from keras_simplepose.utils.errors import UserError


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("res50_coco_256x192-ec54d7f3_20200709.pth", ["COCO"]),
        ("td-hm_res50_8xb64-210e_coco-256x192-04af38ce_20220923.pth", ["COCO"]),
        ("td-hm_res50_8xb64-210e_coco-wholebody-256x192.pth", ["COCO-WholeBody"]),
        ("mobilenetv2_coco_wholebody_face_256x256-4a3f096e.pth", ["COCO-WholeBody's faces"]),
        ("td-hm_res50_8xb64-210e_ap10k-256x256-35760eb8.pth", ["AP-10K"]),
        ("res50_ap10k_256x256-35760eb8_20211029.pth", ["AP-10K"]),
        ("res50_crowdpose_320x256-c88c512a.pth", ["CrowdPose"]),
        ("td-hm_res50_8xb64-20e_posetrack18-256x192.pth", ["PoseTrack 2018"]),
        ("res50_jhmdb_sub1_256x256-932cb3b4.pth", ["JHMDB"]),
        ("td-hm_res101_8xb64-210e_aic-256x192.pth", ["AI Challenger"]),
        ("res50_mpii_trb_256x256-896036b8.pth", ["MPII-TRB"]),
        ("merge_coco_aic-256x192.pth", ["COCO", "AI Challenger"]),
        ("pose_resnet_50_256x192.pth.tar", []),
        ("coconut_makaroni.pth", []),
    ],
)
def test_data_sets_are_told_from_names(name, titles):
    assert [each.title for each in named_data_sets(name)] == titles


def test_every_skeleton_of_the_table_has_its_number_of_keypoints():
    for data_set in DATA_SETS:
        if data_set.skeleton in skeletons.SKELETONS:
            assert len(skeletons.SKELETONS[data_set.skeleton].keypoints) == data_set.keypoints
    assert {"coco17", "mpii16", "posetrack15"} <= {each.skeleton for each in DATA_SETS}


def notes(name="a.pth", data_set="", configuration=""):
    return Provenance(f"some/mpii/{name}", data_set, configuration)


@pytest.mark.parametrize(
    ("provenance", "keypoints", "skeleton", "origin"),
    [
        (notes("res50_coco_256x192.pth"), 17, "coco17", "COCO, file's name"),
        (notes("res50_posetrack17_256x192.pth"), 15, "posetrack15", "file's name"),
        (notes("a.pth", "mpii"), 16, "mpii16", "notes"),
        (notes("a_coco.pth", "posetrack15"), 15, "posetrack15", "notes"),
        (notes("a.pth", "", "data=dict(dataset_info=dict(dataset_name='mpii'))"), 16, "mpii16", "configuration"),
        (notes("merge_coco_aic.pth"), 17, "coco17", "COCO"),
        (notes(), 17, "coco17", "no data set is named"),
        (notes(), 16, "mpii16", "no data set is named"),
    ],
)
def test_the_skeleton_is_the_data_sets(provenance, keypoints, skeleton, origin):
    found, why = skeleton_of(provenance, keypoints, "x")
    assert found == skeleton and origin in why


@pytest.mark.parametrize(
    ("provenance", "keypoints", "named"),
    [
        (notes("res50_ap10k_256x256.pth"), 17, "AP-10K .*file's name.*no skeleton here"),
        (notes("a.pth", "ap10k"), 17, "AP-10K"),
        (notes("td-hm_res50_h36m.pth"), 17, "Human3.6M"),
        (notes("res50_mpii.pth"), 17, "17 heatmaps, but MPII has 16 keypoints"),
        (notes("coco_and_ap10k.pth"), 17, "names COCO and AP-10K"),
        (notes(), 15, "15 heatmaps, which may be .*posetrack15.* names no data set"),
        (notes(), 40, "40 heatmaps, and names no data set"),
    ],
)
def test_another_data_sets_points_are_refused(provenance, keypoints, named):
    with pytest.raises(UserError, match=f"the file: .*{named}.*the option skeleton"):
        skeleton_of(provenance, keypoints, "the file")


def test_of_several_skeletons_of_one_size_something_must_say_which():
    with pytest.raises(UserError, match="17 heatmaps, which may be coco17 or posetrack18 or ochuman17, and names no"):
        skeleton_of(notes(), 17, "x", "mmpose")
    assert skeleton_of(notes("a_posetrack18.pth"), 17, "x", "mmpose")[0] == "posetrack18"
    assert skeleton_of(notes("a_ochuman.pth"), 17, "x", "mmpose")[0] == "ochuman17"
    found, why = skeleton_of(notes(), 16, "x", "mmpose")
    assert found == "mpii16" and "the only one of 16 heatmaps" in why


def test_a_skeleton_counts_once_it_exists(monkeypatch):
    monkeypatch.delitem(skeletons.SKELETONS, "crowdpose14", raising=False)
    with pytest.raises(UserError, match="CrowdPose"):
        skeleton_of(notes("res50_crowdpose_256x192.pth"), 14, "x")
    other = dataclasses.replace(skeletons.SKELETONS["coco17"], name="crowdpose14")
    monkeypatch.setitem(skeletons.SKELETONS, "crowdpose14", other)
    assert skeleton_of(notes("res50_crowdpose_256x192.pth"), 14, "x")[0] == "crowdpose14"


@pytest.mark.parametrize(
    ("provenance", "codec"),
    [
        (notes("res50_coco_256x192_dark-43379d20.pth"), "dark"),
        (notes("td-hm_res50_dark-8xb64-210e_coco-256x192.pth"), "dark"),
        (notes("td-hm_hrnet-w32_udp-8xb64-210e_coco-256x192.pth"), "udp"),
        (notes(configuration="codec = dict(type='MSRAHeatmap', sigma=2, unbiased=True)"), "dark"),
        (notes(configuration="post_process='unbiased'"), "dark"),
        (notes(configuration="codec = dict(type='UDPHeatmap', sigma=2)"), "udp"),
        (notes("darkness_udpate.pth"), ""),
    ],
)
def test_codecs_are_set_where_they_exist_and_warned_of_where_not(provenance, codec, monkeypatch):
    monkeypatch.setattr(codecs, "CODECS", ("quarter_offset",))
    found, why = codec_of(provenance)
    assert found == "quarter_offset" and why.startswith(f"WARNING: trained with {codec}" if codec else "convention")
    monkeypatch.setattr(codecs, "CODECS", ("quarter_offset", "dark", "udp"))
    assert codec_of(provenance)[0] == (codec or "quarter_offset")
