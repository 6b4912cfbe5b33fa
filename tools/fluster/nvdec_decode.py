"""A decoder for fluster (https://github.com/fluendo/fluster): nvdec-decode. See README.md."""

import os
import subprocess
from typing import Any, Dict, Optional

from fluster.codec import Codec, OutputFormat
from fluster.decoder import Decoder, NotSupportedError, register_decoder
from fluster.utils import file_checksum

# Exit codes of nvdec-decode.
DATA = 65
UNAVAILABLE = 69


@register_decoder
class NvdecDecode(Decoder):
    """HEVC on NVDEC engines, without CUDA"""

    name = "nvdec-decode-H.265"
    description = "H.265 on NVDEC by nvdec-decode"
    codec = Codec.H265
    hw_acceleration = True
    binary = os.environ.get("NVDEC_DECODE", "nvdec-decode")

    def decode(
        self,
        input_filepath: str,
        output_filepath: str,
        output_format: OutputFormat,
        timeout: int,
        verbose: bool,
        keep_files: bool,
        optional_params: Optional[Dict[str, Any]] = None,
    ) -> str:
        """Decodes a stream and gives the MD5 of its pictures as planes"""
        command = [self.binary, input_filepath, "--format", "yuv", "--output", output_filepath]
        if verbose:
            print(" ".join(command))
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=timeout, check=False
        )
        said = done.stderr.decode(errors="replace").strip()
        if verbose and said:
            print(said)
        if done.returncode == UNAVAILABLE:
            raise NotSupportedError(said)
        # Some streams of the suites have errors on purpose. What could be decoded is there, and its sum decides.
        if done.returncode not in (0, DATA) or not os.path.exists(output_filepath):
            raise RuntimeError(f"exit code {done.returncode}: {said}")
        return file_checksum(output_filepath)
