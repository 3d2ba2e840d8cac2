"""What a container sees as its root: planned before anything is mounted."""

from collections.abc import Sequence

from lorapool_local.sandbox.rootfs import Mount, RootStep, View, bind, make_folder, make_link, plan


class FakeTree:
    """A machine's files: folders end with a slash, links are `name -> target`."""

    def __init__(self, *paths: str) -> None:
        self._links = dict(path.split(" -> ") for path in paths if " -> " in path)
        self._paths = {path.rstrip("/") for path in paths if " -> " not in path} | self._links.keys()

    def names(self, folder: str) -> list[str]:
        prefix = folder.rstrip("/") + "/"
        return sorted({p.removeprefix(prefix).split("/")[0] for p in self._paths if p.startswith(prefix)})

    def link(self, path: str) -> str | None:
        return self._links.get(path)

    def exists(self, path: str) -> bool:
        return any(p == path or p.startswith(f"{path}/") for p in self._paths)


TREE = FakeTree("/bin -> usr/bin", "/usr/bin/", "/etc/passwd", "/etc/ssl/", "/scratch/secret", "/scratch/checkout/x")


def planned(*targets: str, opaque: Sequence[str] = (), kept: Sequence[str] = ()) -> list[RootStep]:
    mounts = tuple(Mount("/source", target, read_only=False) for target in targets)
    return list(plan(View(mounts, frozenset(opaque), frozenset(kept)), TREE))


def test_without_volumes_the_machine_is_bound_in() -> None:
    assert planned() == [make_folder("/"), make_link("/bin", "usr/bin"), bind("/etc"), bind("/scratch"), bind("/usr")]


def test_a_mount_point_that_exists_needs_nothing() -> None:
    assert planned("/etc/ssl") == planned()


def test_folders_on_the_way_to_a_missing_mount_point_are_made_anew() -> None:
    steps = planned("/etc/lorapool/control")

    assert steps[2:6] == [make_folder("/etc"), bind("/etc/passwd"), bind("/etc/ssl"), make_folder("/etc/lorapool")]
    assert bind("/etc") not in steps


def test_a_new_folder_of_the_root_is_made() -> None:
    assert planned("/models/base")[-1] == make_folder("/models")


def test_an_opaque_folder_shows_only_what_is_kept() -> None:
    steps = planned(opaque=["/scratch"], kept=["/scratch/checkout"])

    assert [step for step in steps if step.path.startswith("/scratch")] == [
        make_folder("/scratch"),
        bind("/scratch/checkout"),
    ]


def test_what_is_kept_deep_below_an_opaque_folder_is_shown() -> None:
    steps = planned(opaque=["/scratch"], kept=["/scratch/new/checkout"])
    assert bind("/scratch/new/checkout") in steps
    assert make_folder("/scratch/new") in steps


def test_a_volume_below_an_opaque_folder_gets_its_way() -> None:
    steps = planned("/scratch/a/b", opaque=["/scratch"])

    assert [step for step in steps if step.path.startswith("/scratch")] == [
        make_folder("/scratch"),
        make_folder("/scratch/a"),
    ]
