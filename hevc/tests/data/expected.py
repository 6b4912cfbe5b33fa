#!/usr/bin/env python3
"""Makes the fixtures of a stream X:

    X.expected  the syntax elements of its parameter sets and slice segment headers, as FFmpeg's trace_headers bitstream
                filter reads them, one NAL unit per line
    X.order     for each picture that FFmpeg outputs, in output order, its number in decoding order
    X.hevc      with --cut: the stream with its slice data cut off, all but a few bytes, since no test reads it

    expected.py [--slices N] [--cut] --out FOLDER X.hevc...

Derived values (reference picture sets, scaling lists, most significant bit cycles, bit positions) are computed here
from the raw elements, independently of the library under test.
"""
import argparse
import os
import re
import subprocess

LINE = re.compile(r'^(\d+)\s+(\S+)\s+([01]*)\s*=\s*(-?\d+)')
HEADINGS = {'Video Parameter Set': 'VPS', 'Sequence Parameter Set': 'SPS', 'Picture Parameter Set': 'PPS',
            'Slice Segment Header': 'SLICE'}
DROP = re.compile(r'forbidden_zero_bit|nuh_layer_id|general_reserved|general_inbld|reserved_zero|general_max_14bit|'
                  r'[sp]ps_extension_4bits|rbsp_|vps_reserved|alignment_bit|bit_equal_to|conformance_window_flag|'
                  r'slice_segment_header_extension_data')
RPS = re.compile(r'inter_ref_pic_set_prediction_flag|delta_idx_minus1|delta_rps_sign|abs_delta_rps_minus1|'
                 r'used_by_curr_pic_flag|use_delta_flag|num_negative_pics|num_positive_pics|delta_poc_s|'
                 r'used_by_curr_pic_s')
LONG_TERM = re.compile(r'num_long_term_sps|num_long_term_pics|lt_idx_sps|poc_lsb_lt|used_by_curr_pic_lt_flag|'
                       r'delta_poc_msb')
SKIPPED = re.compile(r'pic_output_flag|colour_plane_id|slice_pic_order_cnt_lsb|short_term_ref_pic_set')

# Table 7-6
INTRA = [16] * 10 + [17, 16, 17, 16, 17, 18, 17, 18, 18, 17, 18, 21, 19, 20, 21, 20, 19, 21, 24, 22, 22, 24, 24, 22, 22,
                     24, 25, 25, 27, 30, 27, 25, 25, 29, 31, 35, 35, 31, 29, 36, 41, 44, 41, 36, 47, 54, 54, 47, 65, 70,
                     65, 88, 88, 115]
INTER = ([16] * 10 + [17] * 5 + [18] * 6 + [20] * 7 + [24] * 8 + [25] * 7 + [28] * 6 + [33] * 5 + [41] * 4 + [54] * 3 +
         [71] * 2 + [91])


def trace(path):
    """NAL units as (kind, [(position, name, value)]), in stream order."""
    command = ['ffmpeg', '-hide_banner', '-nostdin', '-v', 'verbose', '-i', path, '-c', 'copy', '-bsf:v',
               'trace_headers', '-f', 'null', '-']
    text = subprocess.run(command, stderr=subprocess.PIPE).stderr.decode('utf-8', 'replace')
    units, in_packet, unit = [], False, None
    for line in text.splitlines():
        if not line.startswith('[trace_headers'):
            continue
        line = line.split('] ', 1)[1]
        if line.startswith('Packet:'):
            in_packet, unit = True, None
        elif in_packet and (match := LINE.match(line)):
            if unit is not None:
                unit.append((int(match[1]), match[2], int(match[4])))
        elif in_packet and not line[:1].isdigit():
            kind = HEADINGS.get(line.strip())
            unit = [] if kind else None
            if kind:
                units.append((kind, unit))
    return units


def explicit_set(e):
    def side(count, sign, delta, used):
        poc, out = 0, []
        for i in range(count):
            poc += sign * (e[f'{delta}[{i}]'] + 1)
            out.append((poc, e[f'{used}[{i}]']))
        return out
    return (side(e['num_negative_pics'], -1, 'delta_poc_s0_minus1', 'used_by_curr_pic_s0_flag'),
            side(e['num_positive_pics'], 1, 'delta_poc_s1_minus1', 'used_by_curr_pic_s1_flag'))


def predicted_set(e, source):
    """All pictures of the source and itself, shifted and sorted by distance: the effect of 7-61 and 7-62."""
    shift = (1 - 2 * e['delta_rps_sign']) * (e['abs_delta_rps_minus1'] + 1)
    out = []
    for j, (poc, _) in enumerate(source[0] + source[1] + [(0, 0)]):
        used = e[f'used_by_curr_pic_flag[{j}]']
        if used or e.get(f'use_delta_flag[{j}]', 1):
            out.append((poc + shift, used))
    return sorted((p for p in out if p[0] < 0), reverse=True), sorted(p for p in out if p[0] > 0)


def ref_pic_set(e, idx, sets, in_slice):
    if e.get('inter_ref_pic_set_prediction_flag', 0):
        return predicted_set(e, sets[idx - (e['delta_idx_minus1'] + 1 if in_slice else 1)])
    return explicit_set(e)


def show_set(pictures):
    return ','.join(f'{poc}{"u" if used else ""}' for poc, used in pictures[0] + pictures[1]) or '-'


def scaling_lists(e):
    lists, dcs, out = {}, {}, []
    for size in range(4):
        for m in range(0, 6, 3 if size == 3 else 1):
            key = size, m
            if e[f'scaling_list_pred_mode_flag[{size}][{m}]']:
                value = dcs[key] = e[f'scaling_list_dc_coef_minus8[{size - 2}][{m}]'] + 8 if size > 1 else 8
                lists[key] = []
                for i in range(16 if size == 0 else 64):
                    value = (value + e[f'scaling_list_delta_coeff[{size}][{m}][{i}]']) % 256
                    lists[key].append(value)
            elif delta := e[f'scaling_list_pred_matrix_id_delta[{size}][{m}]'] * (3 if size == 3 else 1):
                lists[key], dcs[key] = lists[size, m - delta], dcs[size, m - delta]
            else:
                lists[key], dcs[key] = [16] * 16 if size == 0 else INTRA if m < 3 else INTER, 16
            digest = 0
            for value in lists[key]:
                digest = (digest * 31 + value) % 2**32
            out.append((f'scaling_list[{size}][{m}]', f'{dcs[key] if size > 1 else 16}:{digest}'))
    return out


def long_term(elements):
    e, cycle = dict(elements), 0
    for name, value in elements:
        if name.startswith('delta_poc_msb_present_flag'):
            i = int(name[27:-1])
            cycle = 0 if i in (0, e.get('num_long_term_sps', 0)) else cycle
            cycle += e.get(f'delta_poc_msb_cycle_lt[{i}]', 0)
            yield f'DeltaPocMsbCycleLt[{i}]', cycle if value else '-'
        elif not name.startswith('delta_poc_msb'):
            yield name, value


def canonical(kind, elements, state):
    plain, compatibility, groups, entry_points, lt = {}, 0, [], [], []
    for _, name, value in elements:
        if name.startswith('general_profile_compatibility_flag'):
            compatibility |= value << (31 - int(name[35:-1]))
        elif DROP.match(name) or name.startswith('scaling_list_pred') or name.startswith('scaling_list_d'):
            continue
        elif RPS.match(name):
            # Set 0 of an SPS has no prediction flag.
            if name == 'inter_ref_pic_set_prediction_flag' or (
                    name == 'num_negative_pics' and (not groups or name in groups[-1] or len(groups[-1]) != 1)):
                groups.append({})
            groups[-1][name] = value
        elif name.startswith('entry_point_offset_minus1'):
            entry_points.append(value)
        elif LONG_TERM.match(name):
            lt.append((name, value))
        else:
            plain.setdefault(name, []).append(value)
    out = [(name, '/'.join(map(str, values))) for name, values in plain.items()]
    first = {name: values[0] for name, values in plain.items()}
    values = {name: value for _, name, value in elements}
    if kind in ('VPS', 'SPS'):
        out.append(('general_profile_compatibility_flags', compatibility))
    if any(name.startswith('scaling_list_pred') for name in values):
        out += scaling_lists(values)
    if kind == 'SPS':
        sets = []
        for idx, group in enumerate(groups):
            sets.append(ref_pic_set(group, idx, sets, False))
            out.append((f'st_ref_pic_set[{idx}]', show_set(sets[-1])))
        state['sps'][first['sps_seq_parameter_set_id']] = sets
    elif kind == 'PPS':
        state['pps'][first['pps_pic_parameter_set_id']] = first['pps_seq_parameter_set_id']
    elif kind == 'SLICE':
        out += long_term(lt)
        if entry_points:
            out.append(('entry_point_offset_minus1', ','.join(map(str, entry_points))))
        types = [i for i, (_, name, _) in enumerate(elements) if name == 'slice_type']
        if types:
            rest = elements[types[0] + 1:]
            end = next(p for p, n, _ in rest if not (SKIPPED.match(n) or RPS.match(n) or LONG_TERM.match(n)))
            out.append(('hw_header_skip_bits', end - rest[0][0]))
            if groups:
                sets = state['sps'][state['pps'][first['slice_pic_parameter_set_id']]]
                out.append(('st_ref_pic_set', show_set(ref_pic_set(groups[0], len(sets), sets, True))))
                start = next(i for i, (_, n, _) in enumerate(rest) if RPS.match(n))
                stop = next(p for p, n, _ in rest[start:] if not RPS.match(n))
                out.append(('st_ref_pic_set_bits', stop - rest[start][0]))
        out.append(('header_size_rbsp', (elements[-1][0] + 1) // 8 - 2))
    return ' '.join([kind] + [f'{name}={value}' for name, value in out])


def positions(path, what):
    command = ['ffprobe', '-v', 'error', '-select_streams', 'v:0', '-show_entries', what, '-of', 'csv=p=0', path]
    text = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
    return [int(word) for word in re.findall(r'\d+', text)]


def output_order(path):
    # FFmpeg makes packets of their own of enhancement layers; they are part of the access unit before.
    with open(path, 'rb') as file:
        data = file.read()
    base = []
    for position in positions(path, 'packet=pos'):
        header = data.index(b'\0\0\1', position) + 3
        if data[header] & 1 == 0 and data[header + 1] >> 3 == 0:
            base.append(position)
    decoding = {position: i for i, position in enumerate(base)}
    return [decoding[position] for position in positions(path, 'frame=pkt_pos')]


def cut(data, header_sizes):
    """The stream with some 24 bytes of slice data left after each header."""
    starts = [match.start() for match in re.finditer(b'\0\0\1', data)] + [len(data)]
    out, sizes = data[:starts[0]], iter(header_sizes)
    for start, end in zip(starts, starts[1:]):
        kind, layer = data[start + 3] >> 1, (data[start + 3] & 1) << 5 | data[start + 4] >> 3
        nal, keep = data[start:end], end
        if kind < 32:
            keep = start + (5 + next(sizes) + 24 if layer == 0 and (kind <= 9 or 16 <= kind <= 21) else 32)
        if keep < end:
            # A zero_byte before the next start code stays.
            nal = data[start:keep].rstrip(b'\0') + b'\x80' + (b'\0' if nal.endswith(b'\0') else b'')
        out += nal
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--slices', type=int, default=10**9, help='slice segment headers to keep in X.expected')
    parser.add_argument('--cut', action='store_true', help='write X.hevc too')
    parser.add_argument('--out', required=True, help='folder of the results')
    parser.add_argument('streams', nargs='+')
    arguments = parser.parse_args()
    for path in arguments.streams:
        state, lines, sizes = {'sps': {}, 'pps': {}}, [], []
        for kind, elements in trace(path):
            if not elements:
                continue
            line = canonical(kind, elements, state)
            if kind == 'SLICE':
                sizes.append(int(line.rsplit('=', 1)[1]))
            if len(sizes) <= arguments.slices:
                lines.append(line)
        base = os.path.join(arguments.out, os.path.splitext(os.path.basename(path))[0])
        if lines:
            with open(base + '.expected', 'w') as file:
                file.write('\n'.join(lines) + '\n')
        if order := output_order(path):
            with open(base + '.order', 'w') as file:
                file.write(' '.join(map(str, order)) + '\n')
        if arguments.cut:
            with open(path, 'rb') as source, open(base + '.hevc', 'wb') as file:
                file.write(cut(source.read(), sizes))


main()
