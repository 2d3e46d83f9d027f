"""Where our messages are known by name.

Cogment's own SDK declares the same names in protobuf's default pool: a program may use both.
"""

from google.protobuf.descriptor_pool import DescriptorPool

POOL = DescriptorPool()
