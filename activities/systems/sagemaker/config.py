"""What Stanch must be told of SageMaker: the same as of the account (``activities/systems/aws/config.py``)."""

from activities.systems.aws.config import AwsConfig

CONFIG = AwsConfig
