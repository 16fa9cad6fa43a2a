"""Throwaway PostgreSQL clusters, NATS servers and bridges for the demo, the tests and the benchmarks."""

from singularity_lab.bridge import Bridge
from singularity_lab.lab import Database, Lab
from singularity_lab.nats_server import NatsServer
from singularity_lab.postgres import Cluster
from singularity_lab.process import Process
from singularity_lab.waiting import wait_until

__all__ = ["Bridge", "Cluster", "Database", "Lab", "NatsServer", "Process", "wait_until"]
