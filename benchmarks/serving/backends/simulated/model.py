"""The `fewstep` backend on a simulated device, whose pictures are the package's canary."""

from benchmarks.serving.simulated_device import SimulatedDevice
from serving.backend.fewstep.model import TritonPythonModel as FewStepModel
from serving.package.contents import Package


class TritonPythonModel(FewStepModel):
    """One instance of one version of a student."""

    def load(self, package: Package, device: str) -> SimulatedDevice:
        """What takes the steps."""
        return SimulatedDevice(package, device)
