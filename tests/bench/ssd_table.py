"""The table of tests/bench/ssd.sh: ssd_table.py FOLDER reads tier.SIZE.ROUND.json and fio_NAME.SIZE.ROUND.json."""

import json
import pathlib
import statistics
import sys

ROWS = (('write', 'fio_write', 'write'), ('read', 'fio_read', 'read'), ('random_read', 'fio_random_read', 'read'))


def load(folder, name, size):
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f'{name}.{size}.*.json'))]


def job(result, name):
    return next(one for one in result['jobs'] if one['jobname'] == name)


def percentile(result, side):
    return job(result, 'read')[side]['clat_ns']['percentile']['99.000000'] / 1e3


def main(folder):
    sizes = sorted({int(path.name.split('.')[1]) for path in folder.glob('tier.*.json')})
    print(f'{"frame":>9} {"operation":<12} {"tier MB/s":>10} {"fio MB/s":>10} {"ratio":>6} {"tier CPU s/GB":>14}')
    for size in sizes:
        tiers = load(folder, 'tier', size)
        for name, fio_name, side in ROWS:
            tier = statistics.median(one[name]['mb_per_s'] for one in tiers)
            cpu = statistics.median(one[name]['cpu_s_per_gb'] for one in tiers)
            fio = statistics.median(job(one, side)[side]['bw_bytes'] / 1e6 for one in load(folder, fio_name, size))
            print(f'{size:>9} {name:<12} {tier:>10.0f} {fio:>10.0f} {tier / fio:>6.2f} {cpu:>14.3f}')
    print(f'\n{"frame":>9} p99 of random reads beside 400 MB/s of writes, us: tier, fio')
    for size in sizes:
        tier = statistics.median(one['read_beside_writes']['p99_us'] for one in load(folder, 'tier', size))
        fio = statistics.median(percentile(one, 'read') for one in load(folder, 'fio_mixed', size))
        failed = sum(one[name]['failed'] for one in load(folder, 'tier', size) for name in ('read', 'random_read', 'read_beside_writes'))
        print(f'{size:>9} {tier:>10.0f} {fio:>10.0f}   failed reads {failed}')


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]))
