"""Who may include whom: STYLE's layers as tables. A folder missing from FOLDERS may include nothing of ours, so new folders are decided here."""

import re

from cpp_text import includes

_CONTRACT = ('kernels/copy/', 'kernels/format/', 'proto/contract/')
_GENERATED = ('larder/v1/',)
_LOW_SERVER = _CONTRACT + ('server/base/',)

# Folder -> what its files may include of ours. The longest folder that matches a file decides. Arrows point only downwards.
FOLDERS = {
    'kernels/copy/': ('kernels/copy/',),
    'kernels/format/': ('kernels/format/',),
    'kernels/': ('kernels/',),
    'proto/': _CONTRACT + _GENERATED,
    # What server and client share of a plane: below both, it moves bytes and knows no key, block or call.
    'transport/': ('kernels/copy/', 'proto/contract/', 'transport/'),
    'server/': _CONTRACT + _GENERATED + ('kernels/codec/registry.h', 'transport/', 'server/'),
    'server/base/': _LOW_SERVER,
    'server/memory/': _LOW_SERVER + ('server/memory/', 'kernels/'),
    # Encodes blocks on a device: knows no key, tier or slab.
    'server/codec/': _LOW_SERVER + ('kernels/', 'server/codec/'),
    # A tier knows bytes and slabs; it never calls another tier, the store does.
    'server/tier/': _LOW_SERVER + ('server/memory/', 'server/tier/'),
    'server/ssd/': _LOW_SERVER + ('server/memory/', 'server/tier/tier.h', 'server/ssd/'),
    'server/policy/': _LOW_SERVER + ('server/policy/',),
    'server/transport/': _LOW_SERVER + ('transport/', 'server/memory/', 'server/tier/tier.h', 'server/transport/'),
    'server/store/': _LOW_SERVER + ('kernels/', 'server/codec/', 'server/memory/', 'server/tier/', 'server/ssd/', 'server/policy/',
                                    'server/transport/', 'server/store/', 'server/config.h'),
    # Validates, converts, calls one store function, converts back.
    'server/rpc/': _LOW_SERVER + _GENERATED + ('kernels/codec/registry.h', 'server/tier/tier.h', 'server/store/', 'server/transport/', 'server/rpc/',
                                               'server/config.h'),
    'client/': ('kernels/', 'proto/contract/', 'transport/', 'client/') + _GENERATED,
    'tests/': ('kernels/', 'proto/', 'transport/', 'server/', 'client/', 'tests/') + _GENERATED,
}

# One dependency, one place: the include paths of a dependency, and the files that may use it.
DEPENDENCIES = {
    'gRPC': (r'grpcpp/|grpc/|.*\.grpc\.pb\.h$',
             r'server/(rpc/|server\.|main\.cc$)|client/|proto/contract/grpc_'),
    'Protobuf': (r'google/protobuf/|.*\.pb\.h$',
                 r'server/(rpc/|server\.|main\.cc$)|client/|proto/contract/(grpc_|convert)'),
    'prometheus-cpp': (r'prometheus/', r'server/base/metrics(_sampled)?\.'),
    'UCX': (r'uc[pst]/', r'(.*/)?ucx_[^/]*$'),
    'RocksDB': (r'rocksdb/', r'server/ssd/'),
    'CUDA': (r'cuda|cooperative_groups|cub/', r'.*\.cuh?$|.*/cuda_status\.h$|server/memory/cuda_arena\.|server/codec/cuda_coder\.|client/cuda_'),
    'Abseil': (r'absl/', r'(?!kernels/format/.*\.h$)(?!.*\.cuh?$).*'),
}


def _folder_of(path):
    return max((folder for folder in FOLDERS if path.startswith(folder)), key=len, default=None)


def findings(path, text):
    """(line, message) for every include that points the wrong way. `path` is relative to the root, with slashes."""
    folder = _folder_of(path)
    if folder is None:
        return
    header_of_format = folder == 'kernels/format/' and path.endswith('.h') and not path.endswith('_internal.h')
    for line, quoted, included in includes(text):
        ours = any(included.startswith(other) for other in FOLDERS) or included.startswith(_GENERATED)
        if ours and not included.startswith(FOLDERS[folder]):
            yield line, f'{folder} must not include {included}'
        # Device code includes these, save the _internal ones: nothing but the standard library, whose headers have no folder, no extension.
        if header_of_format and not ours and (quoted or re.search(r'[/.]', included)):
            yield line, f'a kernels/format header includes only the standard library and its own folder, not {included}'
        if folder == 'tests/':
            continue
        for name, (pattern, allowed) in DEPENDENCIES.items():
            if re.match(pattern, included) and not re.match(allowed, path):
                yield line, f'{name} does not belong here: {included}'
