#!/usr/bin/env python3
"""Picture descriptors, worked out apart from the library: writes golden.txt.

    golden.py [--all] > golden.txt

Syntax elements come from FFmpeg's trace_headers bitstream filter, run on the fixtures of the `hevc` crate. Order
counts, reference picture sets and the places of the picture table are derived here from those elements. Bit positions
are written out as numbers: (byte offset of the word, most and least significant bit) of `nvdec_hevc_pic_s` in NVIDIA's
nvdec_drv.h.

A line per picture: stream, class, number in decoding order, then OFFSET=VALUE in hexadecimal for each word that is not
0. `tiles` and `scaling` lines hold the tables beside the descriptor the same way, in words of 16 and 32 bits.
"""
import os
import re
import subprocess
import sys

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../../hevc/tests/data')
LINE = re.compile(r'^(\d+)\s+(\S+)\s+([01]*)\s*=\s*(-?\d+)')
HEADINGS = {'Sequence Parameter Set': 'SPS', 'Picture Parameter Set': 'PPS', 'Slice Segment Header': 'SLICE'}
SET = re.compile(r'inter_ref_pic_set_prediction_flag|delta_idx_minus1|delta_rps_sign|abs_delta_rps_minus1|'
                 r'used_by_curr_pic_flag|use_delta_flag|num_negative_pics|num_positive_pics|delta_poc_s|'
                 r'used_by_curr_pic_s')
SKIPPED = re.compile(r'pic_output_flag|colour_plane_id|slice_pic_order_cnt_lsb|short_term_ref_pic_set|'
                     r'num_long_term_|lt_idx_sps|poc_lsb_lt|used_by_curr_pic_lt_flag|delta_poc_msb|' + SET.pattern)

# Table 7-6
INTRA = [16] * 10 + [17, 16, 17, 16, 17, 18, 17, 18, 18, 17, 18, 21, 19, 20, 21, 20, 19, 21, 24, 22, 22, 24, 24, 22, 22,
                     24, 25, 25, 27, 30, 27, 25, 25, 29, 31, 35, 35, 31, 29, 36, 41, 44, 41, 36, 47, 54, 54, 47, 65, 70,
                     65, 88, 88, 115]
INTER = ([16] * 10 + [17] * 5 + [18] * 6 + [20] * 7 + [24] * 8 + [25] * 7 + [28] * 6 + [33] * 5 + [41] * 4 + [54] * 3 +
         [71] * 2 + [91])

# Streams with the pictures that golden.txt has, in decoding order.
CHOSEN = [
    ('h_ra_cra', 'B8B0', [0, 1, 4, 13]),
    ('h_wp_ra', 'B8B0', [0, 9]),
    ('s_lt_msb', 'B8B0', [0, 11]),
    ('s_lt_sps', 'B8B0', [13]),
    ('s_rplm_perm', 'B8B0', [7]),
    ('x_radl', 'B8B0', [0, 12]),
    ('h_pcm10', 'B8B0', [0]),
    ('h_sl_file', 'B8B0', [5]),
    ('s_slist_pps', 'B8B0', [2]),
    ('h_tiles_slices', 'B8B0', [0, 3]),
    ('h_tiles_non', 'B8B0', [2]),
    ('h_depslice_wpp', 'B8B0', [1]),
    ('h_dbk_slice', 'B8B0', [4]),
    ('s_hdr_ext_wpp', 'B8B0', [1]),
    ('s_multi_ps', 'B8B0', [0, 20]),
    ('hx_tools_a', 'B8B0', [0, 2]),
    ('hx_cuchromaqp', 'B8B0', [1]),
    ('x_hdr10', 'B8B0', [0, 5]),
    ('x_hdr10', 'C4B0', [5]),
    ('x_hdr10', 'CFB0', [5]),
    ('h_tiles_non', 'C9B0', [1]),
]


def trace(path):
    command = ['ffmpeg', '-hide_banner', '-nostdin', '-v', 'verbose', '-i', path, '-c', 'copy', '-bsf:v',
               'trace_headers', '-f', 'null', '-']
    text = subprocess.run(command, stderr=subprocess.PIPE).stderr.decode('utf-8', 'replace')
    in_packet, unit = False, None
    for line in text.splitlines():
        if not line.startswith('[trace_headers'):
            continue
        line = line.split('] ', 1)[1]
        if line.startswith('Packet:'):
            if unit:
                yield unit
            in_packet, unit = True, None
        elif in_packet and (match := LINE.match(line)):
            if unit:
                unit[1].append((int(match[1]), match[2], int(match[4])))
        elif in_packet and not line[:1].isdigit():
            if unit:
                yield unit
            kind = HEADINGS.get(line.strip())
            unit = (kind, []) if kind else None
    if unit:
        yield unit


def slice_nals(path):
    """Slice segment NAL units of the base layer, without start codes and zero bytes behind them."""
    data = open(path, 'rb').read()
    nals = (nal.rstrip(b'\0') for nal in re.split(b'\0\0\1', data)[1:])
    return [n for n in nals if n[0] >> 1 in (*range(10), *range(16, 22)) and (n[0] & 1, n[1] >> 3) == (0, 0)]


def sets_of(elements, previous, in_slice):
    """st_ref_pic_set() structures in `elements`, as ([(delta, used)] before, [...] after)."""
    groups = []
    for _, name, value in elements:
        if SET.match(name):
            first = 'inter_ref_pic_set_prediction_flag'
            if not groups or name == first or (name == 'num_negative_pics' and first not in groups[-1]):
                groups.append({})
            groups[-1][name] = value
    sets = list(previous)
    for g in groups:
        if g.get('inter_ref_pic_set_prediction_flag'):
            source = sets[len(sets) - (g['delta_idx_minus1'] + 1 if in_slice else 1)]
            shift = (1 - 2 * g['delta_rps_sign']) * (g['abs_delta_rps_minus1'] + 1)
            out = {}
            for j, (delta, _) in enumerate(source[0] + source[1] + [(0, 0)]):
                used = g[f'used_by_curr_pic_flag[{j}]']
                if used or g.get(f'use_delta_flag[{j}]', 1):
                    out[delta + shift] = used
            sets.append((sorted(((d, u) for d, u in out.items() if d < 0), reverse=True),
                         sorted((d, u) for d, u in out.items() if d > 0)))
        else:
            sides = []
            for count, sign, s in (('num_negative_pics', -1, 's0'), ('num_positive_pics', 1, 's1')):
                poc, side = 0, []
                for i in range(g[count]):
                    poc += sign * (g[f'delta_poc_{s}_minus1[{i}]'] + 1)
                    side.append((poc, g[f'used_by_curr_pic_{s}_flag[{i}]']))
                sides.append(side)
            sets.append(tuple(sides))
    return sets[len(previous):]


class Sequence:
    def __init__(self):
        self.sps, self.pps, self.prev, self.marked, self.first = {}, {}, 0, {}, True

    def picture(self, elements, nal_type, temporal_id):
        """Derivation for the first slice segment of a picture; marks it a reference. None if it is skipped."""
        e = {name: value for _, name, value in elements}
        pps = self.pps[e['slice_pic_parameter_set_id']]
        sps = self.sps[pps['pps_seq_parameter_set_id']]
        irap, idr = 16 <= nal_type <= 23, nal_type in (19, 20)
        starts = irap and (self.first or idr or nal_type in (16, 17, 18))
        if irap:
            self.associated_skips = starts
        if nal_type in (8, 9) and self.associated_skips:
            return None
        self.first = False
        lsb_bits = sps['log2_max_pic_order_cnt_lsb_minus4'] + 4
        period, lsb = 1 << lsb_bits, e.get('slice_pic_order_cnt_lsb', 0)
        msb = 0
        if not starts:
            prev_lsb = self.prev % period
            msb = self.prev - prev_lsb
            if lsb < prev_lsb and prev_lsb - lsb >= period // 2:
                msb += period
            elif lsb > prev_lsb and lsb - prev_lsb > period // 2:
                msb -= period
        poc = msb + lsb
        if temporal_id == 0 and not nal_type in (0, 2, 4, 6, 7, 8, 9, 10, 12, 14):
            self.prev = poc

        if irap and starts:
            self.marked = {}
        before, after, long_term, keep = [], [], [], set()
        own_set = e.get('short_term_ref_pic_set_sps_flag') == 0
        if not idr:
            if own_set:
                chosen = sets_of(elements, sps['sets'], True)[0]
            else:
                chosen = sps['sets'][e.get('short_term_ref_pic_set_idx', 0)]
            lt_all, cycle = [], 0
            count_sps = e.get('num_long_term_sps', 0)
            for i in range(count_sps + e.get('num_long_term_pics', 0)):
                if i < count_sps:
                    idx = e.get(f'lt_idx_sps[{i}]', 0)
                    value, used = sps[f'lt_ref_pic_poc_lsb_sps[{idx}]'], sps[f'used_by_curr_pic_lt_sps_flag[{idx}]']
                else:
                    value, used = e[f'poc_lsb_lt[{i}]'], e[f'used_by_curr_pic_lt_flag[{i}]']
                cycle = (0 if i in (0, count_sps) else cycle) + e.get(f'delta_poc_msb_cycle_lt[{i}]', 0)
                full = e[f'delta_poc_msb_present_flag[{i}]']
                if full:
                    value += poc - cycle * period - (poc & (period - 1))
                found = [p for p in self.marked if p == value or (not full and p % period == value)]
                assert len(found) == 1, (poc, value, self.marked)
                lt_all.append((found[0], used))
            for (entries, target) in ((chosen[0], before), (chosen[1], after)):
                for delta, used in entries:
                    if poc + delta in self.marked:
                        keep.add(poc + delta)
                    if used:
                        assert poc + delta in self.marked, f'{poc + delta} is missing'
                        target.append(poc + delta)
            for p, used in lt_all:
                keep.add(p)
                if used:
                    long_term.append(p)
            self.marked = {p: place for p, place in self.marked.items() if p in keep}
        places = dict(self.marked)
        place = min(set(range(17)) - set(places.values()))
        self.marked[poc] = place

        start = next(i for i, (_, n, _) in enumerate(elements) if n == 'slice_type') + 1
        end = next(p for p, n, _ in elements[start:] if not SKIPPED.match(n))
        bits = 0
        if own_set:
            first = next(i for i, (_, n, _) in enumerate(elements) if SET.match(n))
            bits = next(p for p, n, _ in elements[first:] if not SET.match(n)) - elements[first][0]
        return dict(sps=sps, pps=pps, poc=poc, place=place, places=places, before=before, after=after, lt=long_term,
                    idr=idr, irap=irap, skip=end - elements[start][0], bits=bits)


def align(value, to):
    return -(-value // to) * to


def tile_sizes(pps, columns, rows):
    out = []
    for name, counted, total in (('column_width', 'num_tile_columns_minus1', columns),
                                 ('row_height', 'num_tile_rows_minus1', rows)):
        count = pps[counted] + 1 if pps['tiles_enabled_flag'] else 1
        if count == 1:
            out.append([total])
        elif pps['uniform_spacing_flag']:
            out.append([(i + 1) * total // count - i * total // count for i in range(count)])
        else:
            sizes = [pps[f'{name}_minus1[{i}]'] + 1 for i in range(count - 1)]
            out.append(sizes + [total - sum(sizes)])
    return out


def scratch_areas(sps, pps, width, height, ctb, deep):
    """Bytes of: deblocking left, SAO left, bitstream decoder, deblocking above; B8B0 as measured, others as traced."""
    w, h = align(width, 64), align(height, 64)
    traced = [608 * h, 4864 * h, 152 * h, (w + 16) * h]
    rows, row = -(-height // ctb), align(width, ctb)
    columns = pps['num_tile_columns_minus1'] + 1 if pps['tiles_enabled_flag'] else 0
    sample = {(1, 0): 12, (1, 1): 16, (3, 0): 16, (3, 1): 24}[sps['chroma_format_idc'], deep]
    measured = [-(-area * columns // 20) for area in traced[:3]] + [rows * (row + ctb) * sample]
    return {'traced': traced, 'measured': measured}


def words_of(p, cls, stream_len):
    sps, pps = p['sps'], p['pps']
    words = {}

    def put(offset, high, low, value):
        size = high - low + 1
        assert -(1 << size - 1) <= value < 1 << size, (hex(offset), high, low, value)
        words[offset] = words.get(offset, 0) | (value & (1 << size) - 1) << low

    width, height = sps['pic_width_in_luma_samples'], sps['pic_height_in_luma_samples']
    depth = sps['bit_depth_luma_minus8'] + 8
    ctb_log2 = sps['log2_min_luma_coding_block_size_minus3'] + 3 + sps['log2_diff_max_min_luma_coding_block_size']
    ctb, deep = 1 << ctb_log2, int(depth > 8)
    pitch = align(width * (1 + deep), 64)
    put(0x30, 31, 0, stream_len)
    put(0x3c, 31, 0, 10000 * max(1000, (align(width, ctb) // 16) * (align(height, ctb) // 16)))
    put(0x40, 1, 0, 1)  # KBL
    put(0x40, 15, 8, 1)  # start codes
    put(0x40, 23, 16, deep)
    put(0x44, 31, 0, pitch >> deep)
    put(0x48, 31, 0, (pitch >> deep) * (2 if sps['chroma_format_idc'] == 3 else 1))
    put(0x4c, 31, 0, align(width, 64) * align(height, 64) // 16 // 256)
    offsets, at = [], 0
    for size in scratch_areas(sps, pps, width, height, ctb, deep)['measured' if cls == 'B8B0' else 'traced']:
        at += align(size, 256)
        offsets.append(at // 256)
    put(0x50, 31, 0, offsets[0])
    put(0x54, 31, 0, offsets[1])
    put(0xf0, 31, 0, offsets[2])
    put(0xf4, 31, 0, offsets[3])
    put(0x104, 31, 0, offsets[3])
    put(0x58, 15, 0, width)
    put(0x58, 31, 16, height)
    put(0x5c, 3, 0, sps['chroma_format_idc'])
    put(0x5c, 7, 4, depth)
    put(0x5c, 11, 8, sps['bit_depth_chroma_minus8'] + 8)
    put(0x5c, 15, 12, sps['log2_min_luma_coding_block_size_minus3'] + 3)
    put(0x5c, 19, 16, ctb_log2)
    tb = sps['log2_min_luma_transform_block_size_minus2'] + 2
    put(0x5c, 23, 20, tb)
    put(0x5c, 27, 24, tb + sps['log2_diff_max_min_luma_transform_block_size'])
    put(0x60, 2, 0, sps['max_transform_hierarchy_depth_inter'])
    put(0x60, 5, 3, sps['max_transform_hierarchy_depth_intra'])
    for bit, name in ((6, 'scaling_list_enabled_flag'), (7, 'amp_enabled_flag'),
                      (8, 'sample_adaptive_offset_enabled_flag'), (9, 'pcm_enabled_flag'),
                      (27, 'sps_temporal_mvp_enabled_flag'), (28, 'strong_intra_smoothing_enabled_flag')):
        put(0x60, bit, bit, sps[name])
    if sps['pcm_enabled_flag']:
        low = sps['log2_min_pcm_luma_coding_block_size_minus3'] + 3
        put(0x60, 13, 10, sps['pcm_sample_bit_depth_luma_minus1'] + 1)
        put(0x60, 17, 14, sps['pcm_sample_bit_depth_chroma_minus1'] + 1)
        put(0x60, 21, 18, low)
        put(0x60, 25, 22, low + sps['log2_diff_max_min_pcm_luma_coding_block_size'])
        put(0x60, 26, 26, sps['pcm_loop_filter_disabled_flag'])
    for high, low, value in ((0, 0, pps['dependent_slice_segments_enabled_flag']),
                             (1, 1, pps['output_flag_present_flag']), (4, 2, pps['num_extra_slice_header_bits']),
                             (5, 5, pps['sign_data_hiding_enabled_flag']), (6, 6, pps['cabac_init_present_flag']),
                             (10, 7, pps['num_ref_idx_l0_default_active_minus1'] + 1),
                             (14, 11, pps['num_ref_idx_l1_default_active_minus1'] + 1),
                             (21, 15, 26 + pps['init_qp_minus26'] + 6 * (depth - 8)),
                             (22, 22, pps['constrained_intra_pred_flag']), (23, 23, pps['transform_skip_enabled_flag']),
                             (24, 24, pps['cu_qp_delta_enabled_flag']), (26, 25, pps.get('diff_cu_qp_delta_depth', 0))):
        put(0x64, high, low, value)
    put(0x68, 7, 0, pps['pps_cb_qp_offset'])
    put(0x68, 15, 8, pps['pps_cr_qp_offset'])
    put(0x68, 23, 16, 2 * pps.get('pps_beta_offset_div2', 0))
    put(0x68, 31, 24, 2 * pps.get('pps_tc_offset_div2', 0))
    tiles = pps['tiles_enabled_flag']
    for high, low, value in ((0, 0, pps['pps_slice_chroma_qp_offsets_present_flag']), (1, 1, pps['weighted_pred_flag']),
                             (2, 2, pps['weighted_bipred_flag']), (3, 3, pps['transquant_bypass_enabled_flag']),
                             (4, 4, tiles), (5, 5, pps['entropy_coding_sync_enabled_flag']),
                             (10, 6, pps['num_tile_columns_minus1'] + 1 if tiles else 0),
                             (15, 11, pps['num_tile_rows_minus1'] + 1 if tiles else 0),
                             (16, 16, pps['loop_filter_across_tiles_enabled_flag'] if tiles else 1),
                             (17, 17, pps['pps_loop_filter_across_slices_enabled_flag']),
                             (18, 18, pps['deblocking_filter_control_present_flag']),
                             (19, 19, pps.get('deblocking_filter_override_enabled_flag', 0)),
                             (20, 20, pps.get('pps_deblocking_filter_disabled_flag', 0)),
                             (21, 21, pps['lists_modification_present_flag']),
                             (24, 22, pps['log2_parallel_merge_level_minus2'] + 2),
                             (25, 25, pps['slice_segment_header_extension_present_flag'])):
        put(0x6c, high, low, value)

    list0, list1 = p['before'] + p['after'] + p['lt'], p['after'] + p['before'] + p['lt']
    put(0x70, 7, 0, len(list0))
    put(0x70, 31, 16, sum(1 << 15 - p['places'][poc] for poc in set(p['lt'])))
    difference = [max(-128, min(127, p['poc'] - (list0[0] if list0 else p['poc'])))] * 16
    for poc in list0:
        difference[p['places'][poc]] = max(-128, min(127, p['poc'] - poc))
    for i in range(16):
        for base, entries in ((0x74, list0), (0x84, list1)):
            place = p['places'][entries[i % len(entries)]] if entries else p['place']
            put(base + i // 4 * 4, 8 * (i % 4) + 7, 8 * (i % 4), place)
        put(0x94 + i // 2 * 4, 16 * (i % 2) + 15, 16 * (i % 2), difference[i])
    put(0xb4, 7, 0, int(p['idr']))
    put(0xb4, 15, 8, int(p['irap']))
    put(0xb4, 23, 16, p['place'])
    put(0xb8, 15, 0, p['skip'])
    put(0xd4, 4, 1, sps['log2_max_pic_order_cnt_lsb_minus4'])
    put(0xd4, 11, 5, sps['num_short_term_ref_pic_sets'])
    put(0xd4, 17, 12, sps.get('num_long_term_ref_pics_sps', 0))
    put(0xd4, 27, 27, sps['long_term_ref_pics_present_flag'])
    put(0xd8, 31, 0, p['bits'])
    for bit, name in enumerate(('transform_skip_rotation_enabled_flag', 'transform_skip_context_enabled_flag', None,
                                'implicit_rdpcm_enabled_flag', 'explicit_rdpcm_enabled_flag',
                                'extended_precision_processing_flag', 'intra_smoothing_disabled_flag',
                                'high_precision_offsets_enabled_flag', 'persistent_rice_adaptation_enabled_flag',
                                'cabac_bypass_alignment_enabled_flag')):
        put(0xdc, bit, bit, sps.get(name, 0))
    put(0xe0, 3, 0, pps.get('log2_max_transform_skip_block_size_minus2', 0) + 2)
    put(0xe0, 4, 4, pps.get('cross_component_prediction_enabled_flag', 0))
    if pps.get('chroma_qp_offset_list_enabled_flag', 0):
        count = pps['chroma_qp_offset_list_len_minus1'] + 1
        put(0xe0, 5, 5, 1)
        put(0xe0, 7, 6, pps['diff_cu_chroma_qp_offset_depth'])
        put(0xe0, 10, 8, count)
        for i in range(count):
            for base, name in ((0xe4, 'cb_qp_offset_list'), (0xea, 'cr_qp_offset_list')):
                at = base + i
                put(at // 4 * 4, at % 4 * 8 + 7, at % 4 * 8, pps[f'{name}[{i}]'])
    put(0xe0, 13, 11, pps.get('log2_sao_offset_scale_luma', 0))
    put(0xe0, 16, 14, pps.get('log2_sao_offset_scale_chroma', 0))
    put(0x100, 3, 2, 1)  # concealment: collocated motion
    put(0x100, 6, 5, int(p['idr']))
    put(0x11c, 31, 0, 0x10 if cls == 'CFB0' else 0)
    return words


def tile_table(p):
    sps, pps = p['sps'], p['pps']
    ctb_log2 = sps['log2_min_luma_coding_block_size_minus3'] + 3 + sps['log2_diff_max_min_luma_coding_block_size']
    columns, rows = tile_sizes(pps, align(sps['pic_width_in_luma_samples'], 1 << ctb_log2) >> ctb_log2,
                               align(sps['pic_height_in_luma_samples'], 1 << ctb_log2) >> ctb_log2)
    sizes = [value for h in rows for w in columns for value in (w, h)]
    edges = [(sum(s[:i + 1]) << ctb_log2) // 16 for s in (columns, rows) for i in range(len(s))]
    return ' '.join(f'{base + 2 * i:x}={value:x}' for base, values in ((0, sizes), (0x700, edges))
                    for i, value in enumerate(values))


def scaling_table(p):
    """DC values, then the matrices of 4x4, 8x8, 16x16 and 32x32, columns first."""
    e = p['pps'] if p['pps']['pps_scaling_list_data_present_flag'] else p['sps']
    explicit = 'scaling_list_pred_mode_flag[0][0]' in e
    lists, dcs = {}, {}
    for size in range(4):
        count = 16 if size == 0 else 64
        for m in range(0, 6, 3 if size == 3 else 1):
            key = size, m
            if explicit and e[f'scaling_list_pred_mode_flag[{size}][{m}]']:
                value = dcs[key] = e[f'scaling_list_dc_coef_minus8[{size - 2}][{m}]'] + 8 if size > 1 else 8
                lists[key] = []
                for i in range(count):
                    value = (value + e[f'scaling_list_delta_coeff[{size}][{m}][{i}]']) % 256
                    lists[key].append(value)
            elif explicit and (delta := e[f'scaling_list_pred_matrix_id_delta[{size}][{m}]'] * (3 if size == 3 else 1)):
                lists[key], dcs[key] = lists[size, m - delta], dcs[size, m - delta]
            else:
                lists[key], dcs[key] = [16] * 16 if size == 0 else INTRA if m < 3 else INTER, 16
    table = [dcs[2, m] for m in range(6)] + [dcs[3, 0], dcs[3, 3]] + [0] * 8
    for (size, _), values in sorted(lists.items()):
        side = 4 if size == 0 else 8
        scan = sorted(((x, y) for x in range(side) for y in range(side)), key=lambda c: (c[0] + c[1], c[0]))
        matrix = dict(zip(scan, values))
        table += [matrix[x, y] for x in range(side) for y in range(side)]
    return ' '.join(f'{i:x}={int.from_bytes(table[i:i + 4], "little"):x}' for i in range(0, len(table), 4))


def stream(name, cls):
    path = os.path.join(DATA, name + '.hevc')
    nals, sequence, current, number = iter(slice_nals(path)), Sequence(), None, 0
    for kind, elements in trace(path):
        values = {n: v for _, n, v in elements}
        if kind == 'SPS':
            values['sets'] = sets_of(elements, [], False)
            sequence.sps[values['sps_seq_parameter_set_id']] = values
        elif kind == 'PPS':
            sequence.pps[values['pps_pic_parameter_set_id']] = values
        else:
            nal = next(nals)
            if values['first_slice_segment_in_pic_flag']:
                if current:
                    yield number, *current
                    number += 1
                p = sequence.picture(elements, nal[0] >> 1, (nal[1] & 7) - 1)
                current = [p, 0] if p else None
            if current:
                current[1] += 4 + len(nal)
    if current:
        yield number, *current


def main():
    print('# Made by golden.py from FFmpeg\'s trace_headers.')
    every = '--all' in sys.argv
    for name, cls, chosen in CHOSEN:
        seen = set()
        for number, p, length in stream(name, cls):
            if every or number in chosen:
                words = words_of(p, cls, length)
                text = ' '.join(f'{o:x}={v:x}' for o, v in sorted(words.items()) if v)
                print(f'picture {name} {cls} {number} {text}')
                print(f'tiles {name} {cls} {number} {tile_table(p)}')
                if p['sps']['scaling_list_enabled_flag']:
                    print(f'scaling {name} {cls} {number} {scaling_table(p)}')
                seen.add(number)
        assert every or seen == set(chosen), (name, seen)


main()
