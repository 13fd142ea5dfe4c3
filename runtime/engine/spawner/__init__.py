"""The privileged half of a daemon: one single-threaded process that starts containers and reaps them.

It outlives the API process: after a kill, the next daemon finds its containers, their output and their exit
codes here.
"""
