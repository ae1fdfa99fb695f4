"""The mechanisms a plan can choose from, one file each."""

from __future__ import annotations

from adapterkit.plans.mechanism import Mechanism
from adapterkit.plans.mechanisms.adapter import AdapterMechanism
from adapterkit.plans.mechanisms.frozen import FrozenMechanism
from adapterkit.plans.mechanisms.full import FullMechanism
from adapterkit.plans.mechanisms.fuse import FuseMechanism
from adapterkit.plans.mechanisms.layerwise import LayerwiseMechanism
from adapterkit.plans.mechanisms.side import SideMechanism
from adapterkit.plans.mechanisms.stack import StackMechanism
from adapterkit.plans.mechanisms.untied import UntiedMechanism

MECHANISMS: dict[str, Mechanism] = {
    mechanism.name: mechanism
    for mechanism in (
        FrozenMechanism(),
        LayerwiseMechanism(),
        AdapterMechanism(),
        StackMechanism(),
        FuseMechanism(),
        FullMechanism(),
        UntiedMechanism(),
        SideMechanism(),
    )
}
"""Every mechanism by name."""
