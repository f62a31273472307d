"""What stops the start: trust that cannot be read, or a configuration that leaves open whom to trust."""


class IdentityConfigError(Exception):
    """The configuration's part about identity is wrong.

    `key` names the place as it is written there (`routes[orders].authorities`), `problem` says what is wrong with it.
    """

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem
