"""Start a process in namespaces: a tape of named system calls from clone3 to execve, and its parts."""
