"""New versions of reward models in MLflow, by its own interface of registered models."""

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from rats_train.errors import RetryableError

ROLE_TAG, ROLE = "rats.role", "reward"
DIGEST_TAG = "rats.digest"


def reward_versions(client: MlflowClient, name: str) -> list[int]:
    """Numbers of all versions of a reward that `rats reward register` made, the oldest first.

    Raises:
        RetryableError: the tracker did not answer.
    """
    try:
        found = client.search_model_versions(f"name = '{name}'")
    except MlflowException as error:
        raise RetryableError(f"MLflow: {str(error).splitlines()[0]}") from error
    return sorted(int(each.version) for each in found if DIGEST_TAG in each.tags)
