import pytest

from anymal.errors import MediaUnsupported
from anymal.media.imu.chosen import sensor_of_file, stated_units, used_columns
from anymal.media.imu.names import read_name


@pytest.mark.parametrize(
    ("name", "meaning", "unit"),
    [
        ("ax", "ax", None),
        ("accX", "ax", None),
        ("Acc_X", "ax", None),
        ("accl_x", "ax", None),
        ("accelerometer_x", "ax", None),
        ("accelerometerX", "ax", None),
        ("Ax (g)", "ax", "g"),
        ('"Acceleration x (m/s^2)"', "ax", "m/s2"),
        ("Accelerometer (x) [m/s\u00b2]", "ax", "m/s2"),
        ("acceleration.x", "ax", None),
        ("Accel-Z (mg)", "az", "mg"),
        ("acc_x_g", "ax", "g"),
        ("gFy", "ay", "g"),
        ("g-force y", "ay", "g"),
        ("field.linear_acceleration.y", "ay", None),
        ("a_RS_S_z [m s^-2]", "az", "m/s2"),
        ("Shimmer_40AC_Accel_LN_X_CAL (m/(s^2))", "ax", "m/s2"),
        ("accelerometerAccelerationX(G)", "ax", "g"),
        ("x-axis (g)", "ax", "g"),
        ("gx", "gx", None),
        ("wy", "gy", None),
        ("GyroZ", "gz", None),
        ("gyro_x [deg/s]", "gx", "deg/s"),
        ("Gyr_X (\u00b0/s)", "gx", "deg/s"),
        ("gyro_x_dps", "gx", "deg/s"),
        ("Gyroscope x (rad/s)", "gx", "rad/s"),
        ("angular_velocity_x", "gx", None),
        ("motionRotationRateX(rad/s)", "gx", "rad/s"),
        ("w_RS_S_y [rad s^-1]", "gy", "rad/s"),
        ("y-axis (deg/s)", "gy", "deg/s"),
        ("Z", "z", None),
        ("X_value", "x", None),
        ("t_ms", "time", "ms"),
        ("Time (s)", "time", "s"),
        ("#timestamp [ns]", "time", "ns"),
        ("seconds_elapsed", "time", "s"),
        ("canonical_timestamp_ms", "time", "ms"),
        ("epoch (ms)", "time", "ms"),
        ("time (-13:00)", "time", None),
        ("%time", "time", None),
        ("SampleTimeFine", "time", None),
        ("cts", "time", "ms"),
    ],
)
def test_one_rule_reads_the_names_of_many_makers(name: str, meaning: str, unit: str) -> None:
    named = read_name(name)
    assert named is not None
    assert (named.meaning, named.unit) == (meaning, unit)


@pytest.mark.parametrize(
    "name",
    [
        *("label", "note, free text", "Absolute acceleration (m/s^2)", "Euler_X", "mag_x", "q_x"),
        *("magnetometer_x", "gravity_x", "acc_mean_x", "gyro_bias_x", "x (m)", "x-axis (T)"),
        *("angular_acceleration_x", "max", "PacketCounter", "time zone", "x" * 5000, ""),
    ],
)
def test_other_names_are_left_out(name: str) -> None:
    assert read_name(name) is None


def meanings(*columns: str, name: str = "walk.csv") -> dict[str, str]:
    used = used_columns(name, columns)
    return {column: named.meaning for column, named in used.items()}


def test_the_sensor_with_gravity_is_read_where_there_are_two() -> None:
    plain, free = ["acc_x", "acc_y", "acc_z"], ["linear_acc_x", "linear_acc_y", "linear_acc_z"]
    assert list(meanings(*free, *plain)) == plain
    assert list(meanings(*free)) == free
    wide = [f"Shimmer_1_Accel_WR_{axis}_CAL" for axis in "XYZ"]
    low_noise = [f"Shimmer_1_Accel_LN_{axis}_CAL" for axis in "XYZ"]
    assert list(meanings(*wide, *low_noise)) == low_noise


def test_two_columns_of_one_meaning_are_refused() -> None:
    with pytest.raises(MediaUnsupported, match="two of which mean the same"):
        meanings("ax", "ay", "az", "acc_x")
    with pytest.raises(MediaUnsupported, match="two of which mean the same"):
        meanings("ax", "ay", "az", "ax")


def test_of_two_clocks_the_one_with_a_unit_is_read() -> None:
    assert meanings("time", "seconds_elapsed", "z", "y", "x") == {
        **{"seconds_elapsed": "time"},
        **{"z": "az", "y": "ay", "x": "ax"},
    }


def test_axes_alone_are_the_sensor_that_the_file_names() -> None:
    assert list(meanings("t_s", "x", "y", "z", name="Gyroscope.csv").values())[1:] == [
        *("gx", "gy", "gz")
    ]
    assert list(meanings("t_s", "x", "y", "z").values())[1:] == ["ax", "ay", "az"]
    assert "x" not in meanings("x", "y", "z", "gx", "gy", "gz")
    for name in ("Magnetometer.csv", "phone.zip:Gravity.csv"):
        with pytest.raises(MediaUnsupported, match="none of which is known"):
            meanings("t_s", "x", "y", "z", name=name)
    with pytest.raises(MediaUnsupported, match="none of which is known"):
        meanings("t_s", "x", "y", "z", "qx", "qy", "qz", "qw")


@pytest.mark.parametrize(
    ("name", "sensor"),
    [
        ("Gyroscope.csv", "g"),
        ("phone.zip:Accelerometer.csv", "a"),
        ("phone.zip:0/gyro/data.csv", "g"),
        ("acc.csv", "a"),
        ("MetaWear_2026_AB12_Gyroscope_100.000Hz_1.5.1.csv", "g"),
        ("walk.csv", None),
        ("Gravity.csv", None),
        ("data URL (text/csv)", None),
    ],
)
def test_a_file_name_tells_the_sensor(name: str, sensor: str | None) -> None:
    found = sensor_of_file(name)
    assert (None if found is None else found[0]) == sensor


def test_units_in_names_are_known_or_refused() -> None:
    used = used_columns("walk.csv", ["ax (g)", "ay (g)", "az (g)"])
    assert stated_units("walk.csv", used) == {"a": "g"}
    used = used_columns("walk.csv", ["ax (counts)", "ay (counts)", "az (counts)"])
    with pytest.raises(MediaUnsupported, match="the unit 'counts' of column ax"):
        stated_units("walk.csv", used)
    used = used_columns("walk.csv", ["ax (g)", "ay (g)", "az (mg)"])
    with pytest.raises(MediaUnsupported, match="columns in g and in mg"):
        stated_units("walk.csv", used)
