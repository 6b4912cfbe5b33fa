use proptest::prelude::*;
use zerocopy::FromZeros;

use super::*;
use crate::ctrl::*;
use crate::rm::*;

fn abi(version: &str) -> Abi {
    Abi::for_version(version.parse().unwrap())
}

/// One release below every change, one at each change, and one above.
fn releases() -> Vec<DriverVersion> {
    let mut all = vec![OLDEST_SUPPORTED];
    all.extend(CHANGES.iter().map(|c| c.since));
    all.push(DriverVersion::new(u16::MAX, 0, 0));
    all.dedup();
    all
}

#[test]
fn sizes_by_release() {
    // Sizes measured over NVIDIA's tags; for 610 those of two other open programs.
    let channel = NV_CHANNEL_ALLOC_PARAMS::ID;
    let rows: [(&str, &[(StructId, usize)]); 8] = [
        (
            "535.86.05",
            &[
                (channel, 360),
                (NVOS46_PARAMETERS::ID, 56),
                (NVOS47_PARAMETERS::ID, 40),
                (NV_VASPACE_ALLOCATION_PARAMETERS::ID, 48),
                (NV_MEMORY_ALLOCATION_PARAMS::ID, 120),
                (NVA06F_CTRL_GPFIFO_SCHEDULE_PARAMS::ID, 2),
                (NV0080_CTRL_GPU_GET_CLASSLIST_V2_PARAMS::ID, 644),
                (NV2080_CTRL_GPU_GET_ENGINES_V2_PARAMS::ID, 252),
                (NV0000_CTRL_SYSTEM_GET_BUILD_VERSION_V2_PARAMS::ID, 776),
                (crate::ioctl::nv_ioctl_export_to_dma_buf_fd_t::ID, 2600),
                (NV0000_CTRL_GPU_GET_PROBED_IDS_PARAMS::ID, 256),
                (NV906F_CTRL_CMD_RESET_CHANNEL_PARAMS::ID, 12),
                (NV0000_CTRL_OS_UNIX_GET_EXPORT_OBJECT_INFO_PARAMS::ID, 76),
                (NV2080_CTRL_GPU_GET_NAME_STRING_PARAMS::ID, 132),
                (NV_OFA_ALLOCATION_PARAMETERS::ID, 8),
                (NV2080_CTRL_PERF_BOOST_PARAMS::ID, 8),
            ],
        ),
        (
            "545.23.06",
            &[(NV_MEMORY_ALLOCATION_PARAMS::ID, 128), (NV2080_CTRL_GPU_GET_ENGINES_V2_PARAMS::ID, 256)],
        ),
        ("550.40.07", &[(NVOS47_PARAMETERS::ID, 48), (NV0080_CTRL_GPU_GET_CLASSLIST_V2_PARAMS::ID, 700)]),
        ("555.42.02", &[(NV0080_CTRL_GPU_GET_CLASSLIST_V2_PARAMS::ID, 404), (channel, 360)]),
        ("570.86.15", &[(channel, 368), (crate::ioctl::nv_ioctl_export_to_dma_buf_fd_t::ID, 2608)]),
        ("575.51.02", &[(NVA06C_CTRL_GPFIFO_SCHEDULE_PARAMS::ID, 3), (NVOS46_PARAMETERS::ID, 56)]),
        (
            "580.159.04",
            &[(NVOS46_PARAMETERS::ID, 64), (channel, 368), (NV2080_CTRL_GPU_GET_NAME_STRING_PARAMS::ID, 132)],
        ),
        (
            "610.43.02",
            &[
                (NV2080_CTRL_PERF_BOOST_PARAMS::ID, 8),
                (channel, 376),
                (NV2080_CTRL_GPU_GET_NAME_STRING_PARAMS::ID, 68),
            ],
        ),
    ];
    for (version, sizes) in rows {
        for &(id, size) in sizes {
            assert_eq!(abi(version).size_of_id(id), size, "{} in {version}", id.info().name);
        }
    }
}

#[test]
fn fields_that_moved() {
    let field = |version: &str, id: StructId, name: &str| {
        let abi = abi(version);
        let layout = abi.layout(id).unwrap();
        layout.fields().iter().find(|f| f.name == name).map(|f| f.offset)
    };
    let channel = NV_CHANNEL_ALLOC_PARAMS::ID;
    assert_eq!(field("595.45.04", channel, "hUserdMemory"), Some(32));
    assert_eq!(field("595.45.04", channel, "userdOffset"), Some(64));
    assert_eq!(field("595.45.04", channel, "engineType"), Some(128));
    assert_eq!(field("595.45.04", channel, "hHandleVASpace"), None);
    assert_eq!(field("535.86.05", channel, "hmacNonce"), Some(328));
    assert_eq!(field("570.124.04", NVOS46_PARAMETERS::ID, "status"), Some(48));
    assert_eq!(field("535.86.05", NVOS47_PARAMETERS::ID, "status"), Some(32));
    let export = crate::ioctl::nv_ioctl_export_to_dma_buf_fd_t::ID;
    assert_eq!(field("565.77", export, "handles"), Some(32));
    assert_eq!(field("570.86.15", export, "handles"), Some(36));
    // The canonical structure of 610 itself.
    assert_eq!(std::mem::offset_of!(NV_CHANNEL_ALLOC_PARAMS, hUserdMemory), 36);
    assert_eq!(std::mem::offset_of!(NV_CHANNEL_ALLOC_PARAMS, userdOffset), 72);
    assert_eq!(std::mem::offset_of!(NV_CHANNEL_ALLOC_PARAMS, engineType), 136);
}

#[test]
fn spans_do_not_overlap_and_stay_inside() {
    for version in releases() {
        let abi = Abi::for_version(version);
        for id in StructId::all() {
            let info = id.info();
            assert!(abi.size_of_id(id) <= MAX_WIRE_SIZE, "{}", info.name);
            let Some(layout) = abi.layout(id) else { continue };
            let (mut canonical, mut wire) = (0, 0);
            for span in layout.spans() {
                assert!(span.len > 0 && span.canonical >= canonical && span.wire >= wire, "{}", info.name);
                (canonical, wire) = (span.canonical + span.len, span.wire + span.len);
            }
            assert!(canonical <= usize::from(info.size) && wire <= layout.size(), "{}", info.name);
        }
    }
}

#[test]
fn every_change_names_a_structure_and_its_fields() {
    assert!(CHANGES.windows(2).all(|w| w[0].since <= w[1].since), "oldest first");
    for change in CHANGES {
        assert!(change.since > OLDEST_SUPPORTED && change.since <= NEWEST_KNOWN);
        let id = StructId::of_name(change.structure).unwrap_or_else(|| panic!("{}", change.structure));
        for edit in change.edits {
            let (Edit::Added(name) | Edit::Resized { field: name, .. }) = *edit else { continue };
            let found = id.info().fields.iter().any(|f| f.name == name);
            assert!(found, "{}.{name}", change.structure);
        }
    }
}

#[test]
fn canonical_layout_follows_the_rules_that_wire_layouts_use() {
    for info in STRUCTS {
        let mut end = 0;
        for f in info.fields {
            assert_eq!(usize::from(f.offset), usize::next_multiple_of(end, f.align.into()), "{}", info.name);
            end = usize::from(f.offset + f.size);
        }
        let align = info.fields.iter().map(|f| usize::from(f.align)).max().unwrap();
        assert_eq!(usize::from(info.size), end.next_multiple_of(align), "{}", info.name);
    }
}

#[test]
fn matches() {
    let matching = |version: &str| abi(version).matching();
    assert_eq!(matching("535.54.03"), Match::TooOld);
    assert_eq!(matching("535.86.05"), Match::Exact);
    assert_eq!(matching("550.163.01"), Match::Exact);
    assert_eq!(matching("580.159.04"), Match::Nearest);
    assert_eq!(matching("610.43.02"), Match::Nearest);
    assert_eq!(matching("620.06"), Match::NewerThanKnown);
    let wait = crate::ioctl::nv_ioctl_wait_open_complete_t::ID;
    assert!(!abi("545.29.06").has(wait) && abi("550.40.07").has(wait));
    assert!(abi("535.86.05").has(NVOS54_PARAMETERS::ID));
}

/// Encodes, decodes and compares through the bytes of every release and every structure.
fn round_trip(id: StructId, bytes: &[u8]) {
    let info = id.info();
    let size = usize::from(info.size);
    for version in releases() {
        let abi = Abi::for_version(version);
        let mut wire = vec![0xAA; abi.size_of_id(id)];
        let mut back = vec![0x55; size];
        match abi.layout(id) {
            None => {
                wire.copy_from_slice(&bytes[..size]);
                back.copy_from_slice(&wire);
                assert_eq!(back, bytes[..size]);
            }
            Some(layout) => {
                layout.encode(&bytes[..size], &mut wire);
                layout.decode(&mut back, &wire);
                for f in info.fields {
                    let range = usize::from(f.offset)..usize::from(f.offset + f.size);
                    match layout.fields().iter().find(|w| w.name == f.name) {
                        None => assert!(back[range].iter().all(|&b| b == 0x55), "{}.{}", info.name, f.name),
                        Some(w) => {
                            let both = range.start..range.start + w.size.min(f.size.into());
                            assert_eq!(
                                back[both.clone()],
                                bytes[both],
                                "{}.{} in {version}",
                                info.name,
                                f.name
                            );
                        }
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn every_structure_round_trips_in_every_release(
        bytes in proptest::collection::vec(any::<u8>(), MAX_WIRE_SIZE),
    ) {
        for id in StructId::all() {
            round_trip(id, &bytes);
        }
    }

    #[test]
    fn typed_encoding_moves_values(offset: u64, status: u32, release in 0..20_usize) {
        let all = releases();
        let abi = Abi::for_version(all[release % all.len()]);
        let mut map = NVOS46_PARAMETERS::new_zeroed();
        (map.dmaOffset, map.status, map.flags2) = (offset, status, 7);
        let mut wire = [0xFF; MAX_WIRE_SIZE];
        let size = abi.encode(&map, &mut wire);
        prop_assert_eq!(size, abi.size_of::<NVOS46_PARAMETERS>());
        prop_assert!(wire[size..].iter().all(|&b| b == 0xFF));
        let at = size - 16;
        prop_assert_eq!(&wire[at..at + 8], &offset.to_le_bytes());
        prop_assert_eq!(&wire[at + 8..at + 12], &status.to_le_bytes());
        let mut back = NVOS46_PARAMETERS::new_zeroed();
        abi.decode(&mut back, &wire);
        prop_assert_eq!(back.dmaOffset, offset);
        prop_assert_eq!(back.status, status);
        prop_assert_eq!(back.flags2, if size == 64 { 7 } else { 0 });
    }
}
