"""Media recorded with the browser's own devices reach the service whole."""

import re
from typing import Any

import numpy as np


def recorded_for_a_while(here: Any, clock: str = r"^(0\.[7-9]|[1-9])") -> None:
    # The page's policy refuses evaluated code, and with it Playwright's own way to wait.
    here.page.locator("#recorder-words").filter(has_text=re.compile(clock)).wait_for()


def test_camera_and_microphone(here: Any) -> None:
    recorder = here.page.locator("#recorder")
    here.menu("image", "Take a photo")
    recorder.get_by_role("button", name="Take it").click()
    here.page.locator("#tray [data-kind=image] img").wait_for()
    for kind, words in (("audio", "microphone"), ("video", "camera")):
        here.menu(kind, f"Record with the {words}")
        recorder.get_by_role("button", name="Record").click()
        # A browser that has to share its cores encodes no frame of a clip in the first second.
        recorded_for_a_while(here, r"^[3-9]" if kind == "video" else r"^(0\.[7-9]|[1-9])")
        recorder.get_by_role("button", name="Stop").click()
        here.page.locator(f"#tray [data-kind={kind}] canvas").wait_for()
    here.ask("What is it?")
    signals = here.signals()
    assert signals["image"].pixels.std() > 1
    assert len(signals["video"].frames) > 1
    assert signals["audio"].rate_hz == 16_000
    assert signals["audio"].duration_s > 0.5
    assert np.abs(signals["audio"].samples).max() > 0.05  # the fake microphone beeps


def test_cancelled_recording_leaves_nothing(here: Any) -> None:
    for press in ("Record", None):  # cancelled while it runs, then before it begins
        here.menu("audio", "Record with the microphone")
        here.page.locator("#recorder-go:enabled").wait_for()
        if press:
            here.page.click("#recorder-go")
            recorded_for_a_while(here)
        assert here.page.locator("#recorder-words").inner_text() != ""
        here.page.keyboard.press("Escape")
        here.page.locator("#recorder").wait_for(state="hidden")
    here.menu("image", "Take a photo")
    here.page.locator("#recorder-go:enabled").wait_for()
    here.page.wait_for_timeout(250)  # no clock of the last recording goes on ticking
    assert here.page.locator("#recorder-words").inner_text() == ""
    here.page.get_by_role("button", name="Cancel").click()
    assert here.page.locator("#tray li").count() == 0


SHAKE = """() => {
  let count = 0;
  window.shaking = setInterval(() => {
    count += 1;
    dispatchEvent(new DeviceMotionEvent("devicemotion", {
      accelerationIncludingGravity: { x: 1, y: 2, z: 9.8 },
      rotationRate: { alpha: 90, beta: 180, gamma: 0 },
    }));
  }, 20);
}"""


def test_motion_sensors(here: Any) -> None:
    here.page.evaluate(SHAKE)
    here.menu("imu", "Record this phone's sensors")
    here.page.get_by_role("button", name="Record").click()
    recorded_for_a_while(here)
    here.page.get_by_role("button", name="Stop").click()
    here.page.locator("#tray [data-kind=imu] canvas").first.wait_for()
    here.ask("How do I move?")
    motion = here.signals()["imu"]
    wanted = [1, 2, 9.8, np.pi / 2, np.pi, 0]
    np.testing.assert_allclose(motion.samples, np.tile(wanted, (len(motion.samples), 1)), rtol=1e-3)
    assert 1 <= motion.rate_hz < 55


def test_a_device_without_sensors_says_so(here: Any) -> None:
    here.menu("imu", "Record this phone's sensors")
    here.page.get_by_text("has no motion sensor that a page may read").wait_for()
    here.page.get_by_role("button", name="Cancel").click()
    assert here.page.locator("#tray li").count() == 0
