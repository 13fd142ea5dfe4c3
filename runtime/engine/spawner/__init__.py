"""The privileged half of a daemon: one single-threaded process that starts containers and reaps them.

It outlives the API's process: a daemon that was killed finds its containers, their output and their exit
codes here when it starts again.
"""
