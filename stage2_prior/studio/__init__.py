"""The page in the browser: a server, a queue of jobs for one worker, and sessions on the disk."""
