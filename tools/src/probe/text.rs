//! The report of a probe for people.

use std::fmt::Write;

use super::report::*;

/// The report as text, verdict last.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    if let Some(driver) = &report.driver {
        let model = if report.emulated { " (emulated)" } else { "" };
        let _ = writeln!(out, "Driver    {}{model}, {}", driver.version, abi(driver));
    }
    for gpu in &report.gpus {
        render_gpu(&mut out, gpu);
    }
    if !out.is_empty() {
        out.push('\n');
    }
    // The cause that the verdict names comes with it.
    let cause = report
        .findings
        .iter()
        .find(|f| f.exit.is_some())
        .filter(|_| report.gpus.iter().all(|gpu| !gpu.usable));
    for finding in report.findings.iter().filter(|f| cause.is_none_or(|cause| cause != *f)) {
        let _ = writeln!(out, "Note      {}\n          -> {}", finding.what, finding.advice);
    }
    if report.findings.iter().all(|f| f.exit.is_none())
        && let Some(error) = &report.error
    {
        let _ = writeln!(out, "error: {error}");
    }
    let _ = writeln!(out, "Verdict   {}", report.verdict.text);
    if let Some(cause) = cause {
        let _ = writeln!(out, "          -> {}", cause.advice);
    }
    out
}

fn abi(driver: &DriverReport) -> String {
    let row =
        driver.abi_releases.as_ref().map(|[first, last]| format!("{first} to {last}")).unwrap_or_default();
    match driver.abi {
        "exact" => format!("interface known exactly ({row} was compared with NVIDIA's headers)"),
        "nearest" => format!("interface taken from the nearest known releases ({row})"),
        "newer-than-known" => {
            format!("NEWER than any known release: the interface of {row} is used and may be wrong")
        }
        _ => format!("TOO OLD: the oldest supported release is {}", nvkernel_sys::layout::OLDEST_SUPPORTED),
    }
}

fn render_gpu(out: &mut String, gpu: &GpuReport) {
    let _ = writeln!(
        out,
        "\nGPU {}     {}  {}  [{}]  /dev/nvidia{}",
        gpu.index,
        gpu.title(),
        gpu.pci_address,
        gpu.pci_id,
        gpu.minor
    );
    if let Some(chip) = &gpu.chip {
        let _ = writeln!(out, "  chip    {} (revision {:#x})", chip.name, chip.revision);
    }
    let classes = [
        ("video", &gpu.classes.video),
        ("channel", &gpu.classes.channel),
        ("usermode", &gpu.classes.usermode),
        ("copy", &gpu.classes.copy),
        ("compute", &gpu.classes.compute),
        ("jpeg", &gpu.classes.jpeg),
        ("optical flow", &gpu.classes.optical_flow),
    ];
    let mut title = "classes";
    for (kind, class) in classes {
        if let Some(class) = class {
            let _ = writeln!(out, "  {title:7} {kind:12} {} {}", class.number, class.name);
            title = "";
        }
    }
    let mut title = "engines";
    for kind in ["NVDEC", "NVJPG", "OFA", "NVENC", "COPY", "COMP_DECOMP_COPY", "GR"] {
        let names: Vec<_> = gpu.engines.iter().filter(|e| e.kind == kind).map(|e| e.name.as_str()).collect();
        if !names.is_empty() {
            let _ =
                writeln!(out, "  {title:7} {:12} {}", format!("{} x {kind}", names.len()), names.join(" "));
            title = "";
        }
    }
    if let Some(video) = &gpu.video {
        let proof = if video.proven {
            "proven on hardware"
        } else {
            "from documentation, not yet proven on hardware"
        };
        let _ = writeln!(out, "  decodes {} class, {proof}:", video.generation);
        for codec in &video.codecs {
            let _ = writeln!(
                out,
                "          {:9} {:14} {:9} {:>9} to {:10} {}",
                codec.codec,
                codec.chroma.join(" "),
                depth(codec.bit_depth),
                size(codec.min_size),
                size(codec.max_size),
                if codec.supported { "decoded here" } else { "(by the engine, not by this library)" },
            );
        }
    }
    if let Some(clock) = &gpu.engine_clock {
        let _ = writeln!(out, "  clock   {clock}");
    }
    if let Some(error) = &gpu.error {
        let _ = writeln!(out, "  UNUSABLE {error}");
    }
    if let Some(compute) = &gpu.compute {
        let capability = compute.capability.map_or("sm unknown".to_owned(), |sm| format!("sm_{sm}"));
        let launches = match compute.launches {
            "proven" => "kernels proven on hardware of its class",
            "documented" => "kernels from documentation, not yet proven on hardware of its class",
            _ => "how kernels are launched is not known",
        };
        let _ = match &compute.reason {
            None => writeln!(out, "  tensors {capability}, {launches}"),
            Some(reason) => writeln!(out, "  tensors none: {capability}, {launches}; {reason}"),
        };
    }
    if let Some(results) = &gpu.selftest {
        let _ = writeln!(out, "  self-test");
        for result in results {
            let _ = writeln!(out, "          {result}");
        }
    }
    for result in gpu.selftest_tensors.iter().flatten() {
        let _ = writeln!(out, "          {result}");
    }
}

fn depth([low, high]: [u8; 2]) -> String {
    if low == high { format!("{low} bit") } else { format!("{low}-{high} bit") }
}

fn size([width, height]: [u32; 2]) -> String {
    format!("{width}x{height}")
}

#[cfg(test)]
mod tests {
    use super::super::permissions::Finding;
    use super::*;
    use crate::clock::EngineClock;
    use crate::exit::Exit;

    fn hopper() -> Report {
        let mut report = Report {
            schema: SCHEMA,
            emulated: false,
            driver: Some(DriverReport::of("580.65.06".parse().unwrap())),
            gpus: vec![GpuReport {
                index: 0,
                emulated: false,
                name: Some("NVIDIA H200".into()),
                pci_address: "0000:c1:00.0".into(),
                pci_id: "10de:2335".into(),
                minor: 0,
                usable: true,
                error: None,
                chip: None,
                classes: Classes::of(&[0xb8b0, 0xc86f]),
                engines: [1, 4]
                    .map(|number| EngineReport {
                        name: format!("NVDEC{number}"),
                        kind: "NVDEC",
                        number,
                        engine_type: 0x13 + number,
                    })
                    .into(),
                video: Some(VideoReport {
                    generation: "Hopper",
                    proven: true,
                    codecs: vec![CodecReport {
                        codec: "HEVC",
                        chroma: vec!["4:2:0", "4:4:4"],
                        bit_depth: [8, 12],
                        min_size: [144, 144],
                        max_size: [8192, 8192],
                        max_blocks: 262_144,
                        supported: true,
                    }],
                }),
                engine_clock: Some(EngineClock { mhz: 838.0, idle: Some(true) }),
                compute: Some(ComputeReport {
                    launches: "proven",
                    capability: Some(90),
                    tensors: true,
                    reason: None,
                }),
                selftest: None,
                selftest_tensors: None,
                error_exit: None,
                cause: None,
            }],
            findings: Vec::new(),
            verdict: Verdict::pending(),
            error: None,
            error_exit: None,
        };
        report.verdict = Verdict::of(&report);
        report
    }

    #[test]
    fn a_usable_gpu() {
        let report = hopper();
        let text = render(&report);
        for part in [
            "  clock   about 838 MHz, the idle clock: ",
            "580.65.06, interface known exactly",
            "NVIDIA H200  0000:c1:00.0",
            "0xb8b0 NVB8B0_VIDEO_DECODER",
            "NVDEC1 NVDEC4",
            "4:2:0 4:4:4",
            "144x144 to 8192x8192",
            "  tensors sm_90, kernels proven on hardware of its class\n",
            "Verdict   usable: NVIDIA H200 with 2 NVDEC engines\n",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(report.exit(), Exit::Success);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["gpus"][0]["engines"][1]["number"], 4);
        assert_eq!(json["gpus"][0]["video"]["codecs"][0]["max_size"][0], 8192);
        assert_eq!(json["driver"]["abi"], "exact");
        assert_eq!(json["verdict"]["exit_code"], 0);
    }

    #[test]
    fn an_unusable_machine_says_why() {
        let mut report = hopper();
        report.gpus.clear();
        report.findings.push(Finding {
            code: "permission",
            what: "/dev/nvidiactl is rw-rw---- root:video".into(),
            advice: "join group video".into(),
            exit: Some(Exit::Permission),
        });
        report.verdict = Verdict::of(&report);
        let text = render(&report);
        let end =
            "Verdict   not usable: /dev/nvidiactl is rw-rw---- root:video\n          -> join group video\n";
        assert!(text.ends_with(end), "{text}");
        assert_eq!(report.exit().code(), 77);
    }
}
