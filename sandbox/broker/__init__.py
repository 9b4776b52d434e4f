"""Broker: a Kafka broker of one node for one machine, with faults on request.

In        the Kafka wire protocol from clients that know nothing of us; `serve` starts it.
Out       what Apache Kafka would answer to the requests that aiokafka and Faust send.
Holds     topics as segments on disk, committed offsets, groups; in memory only indexes.
Promises  what was acknowledged is there after a kill -9; a fetch wakes when a batch is appended.
Why       no Java on a newcomer's machine, and faults that no real broker makes when asked.
"""
