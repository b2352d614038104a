"""What every service of a process shares."""

from dataclasses import dataclass, field

from server.core.clock import Clock
from server.core.tasks import BackgroundTasks
from server.core.threads import Lanes


@dataclass(frozen=True, slots=True)
class Runtime:
    """The clock, the lanes to blocking code, and the tasks that outlive a request. One per event loop."""

    clock: Clock = field(default_factory=Clock)
    lanes: Lanes = field(default_factory=Lanes)
    tasks: BackgroundTasks = field(default_factory=BackgroundTasks)
