"""The memory, disk and time of a run, computed from configurations before anything is loaded.

One file for each thing that takes memory; `anymal.plan.stage` adds them up, `anymal.plan.run` plans
a recipe, and `anymal.plan.cost` adds disk and hours. Loads no weights and uses no device.

Units: bytes. GB is 1e9 bytes, GiB is 2**30.
"""
