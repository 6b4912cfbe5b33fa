// The peer: what decoding costs with NVIDIA's own libraries, for docs/measurements.md.
//
//   gcc -O2 tools/peer/nvcuvid.c -o nvcuvid -ldl -lpthread      (headers: Debian's libffmpeg-nvenc-dev)
//   ./nvcuvid clip.hevc 20 14
//
// Decodes an Annex B file the given number of times over, with a decoder and a thread for each stream, and maps no
// picture but the first of each, which is the least that a program can do. One more pass, before the others, is not
// timed. Prints pictures per second, processor time per picture, the time from the start of the program to the first
// picture, what making the first decoder took, and peak memory of the process.
#define _GNU_SOURCE
#include <ffnvcodec/dynlink_loader.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define CHUNK (1 << 16)

struct stream {
    pthread_t thread;
    CUvideodecoder decoder;
    long pictures;
    double first, create;
};

static CudaFunctions *cuda;
static CuvidFunctions *cuvid;
static CUcontext context;
static const unsigned char *data;
static size_t size;
static int loops;
static double started;
static pthread_barrier_t warm, timed;

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
    struct stream *stream = user;
    int surfaces = format->min_num_decode_surfaces + 4;
    if (stream->decoder) return surfaces;
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
    double begin = seconds(CLOCK_MONOTONIC);
    check(cuvid->cuvidCreateDecoder(&stream->decoder, &info), "cuvidCreateDecoder");
    stream->create = seconds(CLOCK_MONOTONIC) - begin;
    return surfaces;
}

static int CUDAAPI on_picture(void *user, CUVIDPICPARAMS *picture) {
    struct stream *stream = user;
    check(cuvid->cuvidDecodePicture(stream->decoder, picture), "cuvidDecodePicture");
    return 1;
}

static int CUDAAPI on_display(void *user, CUVIDPARSERDISPINFO *shown) {
    struct stream *stream = user;
    if (!shown) return 1;
    stream->pictures++;
    if (stream->first == 0) {
        CUVIDPROCPARAMS how = {.progressive_frame = 1};
        CUdeviceptr address;
        unsigned pitch;
        int index = shown->picture_index;
        check(cuvid->cuvidMapVideoFrame(stream->decoder, index, &address, &pitch, &how), "cuvidMapVideoFrame");
        check(cuda->cuStreamSynchronize(0), "cuStreamSynchronize");
        stream->first = seconds(CLOCK_MONOTONIC) - started;
        check(cuvid->cuvidUnmapVideoFrame(stream->decoder, address), "cuvidUnmapVideoFrame");
    }
    return 1;
}

static void send(CUvideoparser parser, const unsigned char *bytes, size_t count, unsigned long flags) {
    CUVIDSOURCEDATAPACKET packet = {.payload = bytes, .payload_size = count, .flags = flags};
    check(cuvid->cuvidParseVideoData(parser, &packet), "cuvidParseVideoData");
}

static void *decode(void *user) {
    struct stream *stream = user;
    check(cuda->cuCtxPushCurrent(context), "cuCtxPushCurrent");
    CUvideoparser parser;
    CUVIDPARSERPARAMS params = {
        .CodecType = cudaVideoCodec_HEVC,
        .ulMaxNumDecodeSurfaces = 1,
        .ulMaxDisplayDelay = 4,
        .pUserData = stream,
        .pfnSequenceCallback = on_sequence,
        .pfnDecodePicture = on_picture,
        .pfnDisplayPicture = on_display,
    };
    check(cuvid->cuvidCreateVideoParser(&parser, &params), "cuvidCreateVideoParser");
    for (int loop = 0; loop <= loops; loop++) {
        if (loop == 1) {
            // The first pass paid for the decoder.
            stream->pictures = 0;
            pthread_barrier_wait(&warm);
            pthread_barrier_wait(&timed);
        }
        for (size_t at = 0; at < size; at += CHUNK)
            send(parser, data + at, size - at < CHUNK ? size - at : CHUNK, 0);
        send(parser, NULL, 0, CUVID_PKT_ENDOFSTREAM);
    }
    check(cuda->cuStreamSynchronize(0), "cuStreamSynchronize");
    return NULL;
}

int main(int argc, char **argv) {
    started = seconds(CLOCK_MONOTONIC);
    int count = argc == 4 ? atoi(argv[3]) : 1;
    if (argc < 3 || argc > 4 || count < 1 || (loops = atoi(argv[2])) < 1) {
        fprintf(stderr, "usage: nvcuvid FILE LOOPS [STREAMS]\n");
        return 2;
    }
    FILE *file = fopen(argv[1], "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(argv[1]);
        return 1;
    }
    size = ftell(file);
    unsigned char *bytes = malloc(size);
    rewind(file);
    if (!bytes || fread(bytes, 1, size, file) != size) {
        perror(argv[1]);
        return 1;
    }
    data = bytes;
    struct stream *streams = calloc(count, sizeof *streams);
    if (!streams) return 1;
    check(cuda_load_functions(&cuda, NULL), "loading libcuda");
    check(cuvid_load_functions(&cuvid, NULL), "loading libnvcuvid");
    CUdevice device;
    check(cuda->cuInit(0), "cuInit");
    check(cuda->cuDeviceGet(&device, 0), "cuDeviceGet");
    check(cuda->cuCtxCreate(&context, 0, device), "cuCtxCreate");
    pthread_barrier_init(&warm, NULL, count + 1);
    pthread_barrier_init(&timed, NULL, count + 1);
    for (int i = 0; i < count; i++)
        check(pthread_create(&streams[i].thread, NULL, decode, &streams[i]), "pthread_create");
    pthread_barrier_wait(&warm);
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    pthread_barrier_wait(&timed);
    long pictures = 0;
    for (int i = 0; i < count; i++) {
        pthread_join(streams[i].thread, NULL);
        pictures += streams[i].pictures;
    }
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%d streams, %ld pictures, %.0f pictures/s\n", count, pictures, pictures / wall);
    printf("first picture %.1f ms, cuvidCreateDecoder %.1f ms\n", 1e3 * streams[0].first, 1e3 * streams[0].create);
    printf("CPU %.1f us a picture, peak memory %ld kB\n", 1e6 * cpu / pictures, usage.ru_maxrss);
    return 0;
}
