"""What a run takes of a device's memory, worked out from configurations before anything is loaded.

One file for each thing that takes memory; `anymal.plan.stage` adds them up and `anymal.plan.run`
plans a recipe. Loads no weights and touches no device.

Units: bytes. GB is 1e9 bytes, GiB is 2**30.
"""
