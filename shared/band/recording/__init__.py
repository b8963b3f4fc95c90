"""From a score to stems: instruments, amplifiers, the mix and the master."""
