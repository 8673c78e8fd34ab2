import numpy as np
import pytest

from anymal.playground import clips, labels, motions, pairs, scenes, sounds
from anymal.playground.words import COLOURS, DIGITS


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_scene_is_painted_where_its_facts_say() -> None:
    thing = scenes.Thing(shape="square", colour="red", size="large", place=2)
    scene = scenes.Scene(things=(thing,), is_crowd=False)
    pixels = np.asarray(scenes.render_scene(scene, rng())).astype(int)
    is_red = np.abs(pixels - COLOURS["red"]).sum(axis=2) < 30
    rows, columns = np.nonzero(is_red)
    assert rows.max() < scenes.SIDE / 3 + 2
    assert columns.min() > scenes.SIDE * 2 / 3 - 2
    assert scenes.describe_scene(scene) == "a large red square at the top right"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "a small red circle at the top"),
        (2, "a small red circle at the top and a large blue star at the left"),
        (
            3,
            "a small red circle at the top, a large blue star at the left"
            " and a small green square at the right",
        ),
    ],
)
def test_things_are_listed_as_people_do(count: int, words: str) -> None:
    things = (
        scenes.Thing(shape="circle", colour="red", size="small", place=1),
        scenes.Thing(shape="star", colour="blue", size="large", place=3),
        scenes.Thing(shape="square", colour="green", size="small", place=5),
    )
    scene = scenes.Scene(things=things[:count], is_crowd=False)
    assert scenes.describe_scene(scene) == words


def test_crowd_is_described_by_its_number() -> None:
    things = tuple(
        scenes.Thing(shape="star", colour="blue", size="small", place=p) for p in (0, 4, 8)
    )
    scene = scenes.Scene(things=things, is_crowd=True)
    assert scenes.describe_scene(scene) == "three small blue stars"


def centres_of(direction: str, speed: str, axis: int) -> np.ndarray:
    """Where the moving shape is in each painted frame, along one axis."""
    clip = clips.Clip(
        kind="move", shapes=("circle",), colours=("blue",), direction=direction, speed=speed
    )
    centres = []
    for frame in clips.render_clip(clip, rng()):
        is_blue = np.abs(np.asarray(frame).astype(int) - COLOURS["blue"]).sum(axis=2) < 60
        centres.append(np.nonzero(is_blue)[axis].mean())
    return np.array(centres)


@pytest.mark.parametrize(("direction", "axis", "sign"), [("left", 1, -1), ("down", 0, 1)])
def test_clip_moves_as_its_facts_say(direction: str, axis: int, sign: int) -> None:
    assert np.all(np.sign(np.diff(centres_of(direction, "quickly", axis))) == sign)


def test_quick_clip_travels_further_than_slow_one() -> None:
    quick, slow = (np.ptp(centres_of("right", speed, 1)) for speed in ("quickly", "slowly"))
    assert quick > 2 * slow > 0


@pytest.mark.parametrize("count", [2, 5])
def test_beeps_can_be_counted_in_the_waveform(count: int) -> None:
    sound = sounds.Sound(kind="beeps", pitch="high", tempo="slow", count=count)
    loudness = np.abs(sounds.render_sound(sound, rng()))
    smooth = np.convolve(loudness, np.ones(800) / 800, mode="same") > loudness.max() / 5
    assert np.count_nonzero(np.diff(smooth.astype(int)) == 1) == count


def test_rising_tone_rises() -> None:
    wave = sounds.render_sound(sounds.Sound(kind="rising tone"), rng())
    half = len(wave) // 2
    peaks = [np.argmax(np.abs(np.fft.rfft(part, 2 * half))) for part in (wave[:half], wave[half:])]
    assert peaks[0] < peaks[1]


def test_still_phone_feels_gravity_alone_and_a_fall_takes_it_away() -> None:
    still = motions.render_motion(motions.PhoneMotion(kind="still"), rng())
    assert np.linalg.norm(still[:, :3], axis=1).mean() == pytest.approx(motions.GRAVITY, rel=0.02)
    falling = motions.render_motion(motions.PhoneMotion(kind="falling"), rng())
    assert np.linalg.norm(falling[:, :3], axis=1).min() < 2


def test_turning_left_and_right_differ_in_the_sign_of_yaw() -> None:
    left, right = (
        motions.render_motion(motions.PhoneMotion(kind=f"turning {way}"), rng())[:, 5].mean()
        for way in ("left", "right")
    )
    assert left > 0.3
    assert right < -0.3


def test_rotation_matrix_turns_x_into_y_about_z() -> None:
    turned = motions.rotation_matrix(np.array([0.0, 0.0, 1.0]), np.pi / 2) @ [1, 0, 0]
    assert turned == pytest.approx([0, 1, 0], abs=1e-12)


def test_larger_is_decided_by_the_numbers() -> None:
    assert labels.ask_larger((7, 3), rng()).expected == ("hand sign",)
    assert labels.ask_larger((2, 9), rng()).expected == ("spoken digit",)
    assert labels.ask_larger((4, 4), rng()).expected == ("equal",)


def test_match_is_asked_about_equal_and_unequal_pairs_alike() -> None:
    draws = [labels.draw_sign_and_speech(rng(seed)) for seed in range(400)]
    share = sum(sign == speech for sign, speech in draws) / len(draws)
    assert 0.42 < share < 0.58
    assert all(0 <= label < len(DIGITS) for pair in draws for label in pair)


def test_comparison_needs_both_media() -> None:
    for seed in range(60):
        pair = pairs.draw_comparison(rng(seed))
        first, second = pair.media
        assert first.topic.modality != second.topic.modality
        assert pair.ask(rng(seed)).task.startswith("mixed ")


def test_yes_and_no_are_about_equally_often_right() -> None:
    answers = [pairs.draw_comparison(rng(seed)).ask(rng(seed)).expected[0] for seed in range(600)]
    asked = [answer for answer in answers if answer in ("yes", "no")]
    assert 0.4 < asked.count("yes") / len(asked) < 0.6
