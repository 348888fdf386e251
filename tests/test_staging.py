from __future__ import annotations

import numpy as np
import pytest

from braincase.evaluate.staging import Placed, stage_groups


def placed(**positions):
    """One fold whose evidence for the second class is each group's numbers, 0 for the first."""
    subjects = [f"{name}{i}" for name, values in positions.items() for i in range(len(values))]
    groups = [name for name, values in positions.items() for _ in values]
    second = np.concatenate(list(positions.values()))
    evidence = np.stack([np.zeros(len(second)), second], axis=1).astype(np.float32)
    return Placed(np.array(subjects), np.array(groups), evidence)


def test_positions_run_from_the_first_class_to_the_last():
    fold = placed(CN=[1.0, 3.0], EMCI=[4.0, 4.0], LMCI=[8.0, 8.0], AD=[10.0, 14.0])
    staging = stage_groups("code", [fold], ["CN", "AD"], 0)
    assert [group.name for group in staging.groups] == ["CN", "EMCI", "LMCI", "AD"]
    assert [group.mean.value for group in staging.groups] == pytest.approx([0, 0.2, 0.6, 1])
    assert [group.trained for group in staging.groups] == [True, False, False, True]
    assert staging.in_order
    assert staging.rho_never_trained.value == pytest.approx(1)


def test_a_wrong_order_is_told():
    fold = placed(CN=[0.0, 0.0], EMCI=[8.0, 9.0], LMCI=[3.0, 4.0], AD=[10.0, 10.0])
    staging = stage_groups("code", [fold], ["CN", "AD"], 0)
    assert not staging.in_order
    assert staging.rho_never_trained.value < 0


def test_who_is_asked_in_two_folds_gets_the_mean_of_both_scales():
    first = placed(CN=[0.0], SMC=[1.0], AD=[10.0])
    second = Placed(
        np.array(["CNx", "SMC0", "ADx"]),
        np.array(["CN", "SMC", "AD"]),
        np.array([[0, 0], [0, 0.5], [0, 1]], np.float32),
    )
    staging = stage_groups("code", [first, second], ["CN", "AD"], 0)
    assert staging.groups[1].positions == (0.3,)
    assert staging.rho_never_trained is None  # one group has no order


def test_groups_medicine_does_not_order_get_no_verdict():
    fold = placed(CN=[0.0, 1.0], FTD=[5.0, 6.0], AD=[10.0, 11.0])
    staging = stage_groups("code", [fold], ["CN", "AD"], 0)
    assert staging.rho is None
    assert staging.in_order is None
