use super::*;

/// A bank that is moved is where it would have been put, with the rest as it was; also across a multiple of what one half of
/// the address holds.
#[test]
fn moved_banks() {
    for layout in [&V03, &V04, &V05] {
        let at = |address| {
            let mut descriptor = Descriptor::new(layout);
            descriptor.set_bank(0, address, 0x350);
            descriptor.set_bank(3, 0x12_3456_7800, 0x40);
            descriptor
        };
        let places = [0, 0x100, 0xffff_ff00, 0x1_0000_0000, 0x2_0000_0100, 0x3f_ffff_ff00, 0x40_0000_0000];
        for from in places {
            for to in places {
                let mut descriptor = at(from);
                descriptor.move_bank(0, from, to);
                assert_eq!(descriptor.bytes(), at(to).bytes(), "{from:#x} to {to:#x}");
            }
        }
    }
}
