"""The child's way from clone3 to execve: a tape of named system calls, and the mechanisms it is made of."""
