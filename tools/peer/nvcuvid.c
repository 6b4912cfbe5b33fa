// The peer: what one decoding session costs with NVIDIA's own libraries, for docs/measurements.md.
//
//   gcc -O2 tools/peer/nvcuvid.c -o nvcuvid -ldl      (headers: Debian's libffmpeg-nvenc-dev)
//   ./nvcuvid clip.hevc 20
//
// Decodes an Annex B file the given number of times over with one decoder and maps no picture but the first, which
// is the least that a program can do. Prints pictures per second, processor time per picture, the time from the start
// of the program to the first picture, and peak memory.
#define _GNU_SOURCE
#include <ffnvcodec/dynlink_loader.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define CHUNK (1 << 16)

static CudaFunctions *cuda;
static CuvidFunctions *cuvid;
static CUvideodecoder decoder;
static long pictures;
static double started, first;

static double seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void check(int result, const char *what) {
    if (result != 0) {
        fprintf(stderr, "%s failed: %d\n", what, result);
        exit(1);
    }
}

static int CUDAAPI on_sequence(void *user, CUVIDEOFORMAT *format) {
    (void)user;
    int surfaces = format->min_num_decode_surfaces + 4;
    if (decoder) return surfaces;
    CUVIDDECODECREATEINFO info = {
        .CodecType = format->codec,
        .ChromaFormat = format->chroma_format,
        .OutputFormat = format->bit_depth_luma_minus8 ? cudaVideoSurfaceFormat_P016 : cudaVideoSurfaceFormat_NV12,
        .bitDepthMinus8 = format->bit_depth_luma_minus8,
        .DeinterlaceMode = cudaVideoDeinterlaceMode_Weave,
        .ulWidth = format->coded_width,
        .ulHeight = format->coded_height,
        .ulMaxWidth = format->coded_width,
        .ulMaxHeight = format->coded_height,
        .ulTargetWidth = format->display_area.right - format->display_area.left,
        .ulTargetHeight = format->display_area.bottom - format->display_area.top,
        .ulNumDecodeSurfaces = surfaces,
        .ulNumOutputSurfaces = 2,
        .ulCreationFlags = cudaVideoCreate_PreferCUVID,
    };
    check(cuvid->cuvidCreateDecoder(&decoder, &info), "cuvidCreateDecoder");
    return surfaces;
}

static int CUDAAPI on_picture(void *user, CUVIDPICPARAMS *picture) {
    (void)user;
    check(cuvid->cuvidDecodePicture(decoder, picture), "cuvidDecodePicture");
    return 1;
}

static int CUDAAPI on_display(void *user, CUVIDPARSERDISPINFO *shown) {
    (void)user;
    if (!shown) return 1;
    if (pictures++ == 0) {
        CUVIDPROCPARAMS how = {.progressive_frame = 1};
        CUdeviceptr address;
        unsigned pitch;
        check(cuvid->cuvidMapVideoFrame(decoder, shown->picture_index, &address, &pitch, &how), "cuvidMapVideoFrame");
        check(cuda->cuStreamSynchronize(0), "cuStreamSynchronize");
        first = seconds(CLOCK_MONOTONIC) - started;
        check(cuvid->cuvidUnmapVideoFrame(decoder, address), "cuvidUnmapVideoFrame");
    }
    return 1;
}

static void send(CUvideoparser parser, const unsigned char *data, size_t size, unsigned long flags) {
    CUVIDSOURCEDATAPACKET packet = {.payload = data, .payload_size = size, .flags = flags};
    check(cuvid->cuvidParseVideoData(parser, &packet), "cuvidParseVideoData");
}

int main(int argc, char **argv) {
    started = seconds(CLOCK_MONOTONIC);
    if (argc != 3) {
        fprintf(stderr, "usage: nvcuvid FILE LOOPS\n");
        return 2;
    }
    FILE *file = fopen(argv[1], "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(argv[1]);
        return 1;
    }
    size_t size = ftell(file);
    unsigned char *data = malloc(size);
    rewind(file);
    if (!data || fread(data, 1, size, file) != size) {
        perror(argv[1]);
        return 1;
    }
    check(cuda_load_functions(&cuda, NULL), "loading libcuda");
    check(cuvid_load_functions(&cuvid, NULL), "loading libnvcuvid");
    CUdevice device;
    CUcontext context;
    check(cuda->cuInit(0), "cuInit");
    check(cuda->cuDeviceGet(&device, 0), "cuDeviceGet");
    check(cuda->cuCtxCreate(&context, 0, device), "cuCtxCreate");
    CUvideoparser parser;
    CUVIDPARSERPARAMS params = {
        .CodecType = cudaVideoCodec_HEVC,
        .ulMaxNumDecodeSurfaces = 1,
        .ulMaxDisplayDelay = 4,
        .pfnSequenceCallback = on_sequence,
        .pfnDecodePicture = on_picture,
        .pfnDisplayPicture = on_display,
    };
    check(cuvid->cuvidCreateVideoParser(&parser, &params), "cuvidCreateVideoParser");

    // The first pass pays for the decoder; the others are timed.
    int loops = atoi(argv[2]);
    double wall = 0, cpu = 0;
    long before = 0;
    for (int loop = 0; loop <= loops; loop++) {
        if (loop == 1) {
            before = pictures;
            wall = seconds(CLOCK_MONOTONIC);
            cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
        }
        for (size_t at = 0; at < size; at += CHUNK)
            send(parser, data + at, size - at < CHUNK ? size - at : CHUNK, 0);
        send(parser, NULL, 0, CUVID_PKT_ENDOFSTREAM);
    }
    check(cuda->cuStreamSynchronize(0), "cuStreamSynchronize");
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    long timed = pictures - before;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%ld pictures, %.0f pictures/s\n", timed, timed / wall);
    printf("first picture %.1fms\n", 1e3 * first);
    printf("CPU %.1f us a picture, peak memory %ld kB\n", 1e6 * cpu / timed, usage.ru_maxrss);
    return 0;
}
