"""The `fewstep` backend with one slot: no two pictures are drawn together."""

from serving.backend.fewstep.model import TritonPythonModel as FewStepModel
from serving.drawing.stepping import Stepper
from serving.package.contents import Package


class TritonPythonModel(FewStepModel):
    """One instance of one version of a student."""

    def load(self, package: Package, device: str) -> Stepper:
        """What takes the steps."""
        return Stepper(package, device, max_rows=1)
