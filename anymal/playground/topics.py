"""The table of topics: what can be shown, described and asked, one row for each kind of medium.

A topic's facts can be turned into words (for the language world), into a file, and into questions.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from anymal.playground import clips, labels, motions, scene_questions, scenes, sounds
from anymal.playground.question import Question
from anymal.protocol.conversation import data_url

Part = dict[str, Any]

# What the recipes of the built-in model write around each medium.
PREFIXES = {"image": "Image:", "video": "Video:", "audio": "Sound:", "imu": "Motion:"}
SUFFIX = "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One kind of medium.

    Attributes:
        name: Its name in recipes and tables.
        modality: The modality its files have.
        draw: Draws facts.
        describe: Facts to the words that stand for the medium.
        ask: Facts to one question.
        caption: Facts to a question for the whole description; None where `ask` is that already.
        render: Facts to a message part with a real file; None for recordings, which only
            `recorded.py` can supply.
    """

    name: str
    modality: str
    draw: Callable[[np.random.Generator], Any]
    describe: Callable[[Any], str]
    ask: Callable[[Any, np.random.Generator], Question]
    caption: Callable[[Any, np.random.Generator], Question] | None = None
    render: Callable[[Any, np.random.Generator], Part] | None = None


def tell(topic: Topic, facts: Any) -> str:
    """The description of a medium, where the medium would be."""
    return f"{PREFIXES[topic.modality]} {topic.describe(facts)}{SUFFIX}"


def image_part(data: bytes, media_type: str = "image/png") -> Part:
    """A picture as a message part."""
    return {"type": "image_url", "image_url": {"url": data_url(data, media_type)}}


def video_part(data: bytes) -> Part:
    """An MP4 film as a message part."""
    return {"type": "video_url", "video_url": {"url": data_url(data, "video/mp4")}}


def audio_part(data: bytes) -> Part:
    """A WAV file as a message part."""
    encoded = base64.b64encode(data).decode()
    return {"type": "input_audio", "input_audio": {"data": encoded, "format": "wav"}}


def imu_part(data: bytes, file_format: str, rate_hz: float, acceleration_unit: str) -> Part:
    """A motion file as a message part; rotations in rad/s."""
    fields = {
        "data": base64.b64encode(data).decode(),
        "format": file_format,
        "rate_hz": rate_hz,
        "acceleration_unit": acceleration_unit,
        "rotation_unit": "rad/s",
    }
    return {"type": "input_imu", "input_imu": fields}


def _scene_part(scene: scenes.Scene, rng: np.random.Generator) -> Part:
    return image_part(scenes.to_png(scenes.render_scene(scene, rng)))


def _clip_part(clip: clips.Clip, rng: np.random.Generator) -> Part:
    return video_part(clips.to_mp4(clips.render_clip(clip, rng)))


def _sound_part(sound: sounds.Sound, rng: np.random.Generator) -> Part:
    return audio_part(sounds.to_wav(sounds.render_sound(sound, rng)))


def _motion_part(motion: motions.PhoneMotion, rng: np.random.Generator) -> Part:
    data = motions.to_csv(motions.render_motion(motion, rng))
    return imu_part(data, "csv", motions.RATE_HZ, "m/s2")


SCENE = Topic(
    name="scene",
    modality="image",
    draw=scenes.draw_scene,
    describe=scenes.describe_scene,
    ask=scene_questions.ask_about_scene,
    caption=scene_questions.caption_scene,
    render=_scene_part,
)
LONE_SHAPE = replace(
    SCENE, name="lone shape", draw=scenes.draw_lone, ask=scene_questions.ask_about_lone
)
SEVERAL_SHAPES = replace(SCENE, name="several shapes", draw=scenes.draw_several)
CLIP = Topic(
    name="clip",
    modality="video",
    draw=clips.draw_clip,
    describe=clips.describe_clip,
    ask=clips.ask_about_clip,
    caption=clips.caption_clip,
    render=_clip_part,
)
SHAPES_IN_TURN = replace(CLIP, name="shapes in turn", draw=clips.draw_order)
SOUND = Topic(
    name="sound",
    modality="audio",
    draw=sounds.draw_sound,
    describe=sounds.describe_sound,
    ask=sounds.ask_about_sound,
    caption=sounds.caption_sound,
    render=_sound_part,
)
MOTION = Topic(
    name="motion",
    modality="imu",
    draw=motions.draw_motion,
    describe=motions.describe_motion,
    ask=motions.ask_about_motion,
    caption=motions.caption_motion,
    render=_motion_part,
)
PLAYGROUND = (SCENE, CLIP, SOUND, MOTION)


def _labelled(name: str, modality: str, of: labels.Labels) -> Topic:
    """A topic of labelled recordings."""
    return Topic(
        name=name,
        modality=modality,
        draw=of.draw,
        describe=of.describe,
        ask=of.ask,
        caption=of.ask_which,
    )


SIGN = _labelled("sign", "image", labels.SIGNS)
CLOTHES = _labelled("clothes", "image", labels.CLOTHES)
SPEECH = _labelled("speech", "audio", labels.SPEECH)
ACTIVITY = _labelled("activity", "imu", labels.MOTION)
SIGN_CLIP = Topic(
    name="sign clip",
    modality="video",
    draw=labels.draw_sign_clip,
    describe=labels.describe_sign_clip,
    ask=labels.ask_about_sign_clip,
    caption=labels.ask_sign_order,
)
RECORDED = (SIGN, CLOTHES, SPEECH, ACTIVITY, SIGN_CLIP)
