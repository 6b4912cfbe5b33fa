/* Batches read by CUDA in their place, on a real GPU: against what nvdec_batch_download copies.
 *
 * usage: gpu CLIP [--device DEVICE] [--rounds N] [--spec SPEC]
 *
 * Each round decodes pictures of CLIP to a batch while other batches keep the engines busy, has CUDA import the batch and a
 * semaphore, and copies the batch to host memory on a stream of CUDA:
 *   host   after nvdec_batch_wait;
 *   gpu    behind cuStreamWaitValue32, which is told before the batch is there, and without a wait of the host;
 *   none   without any wait, which has to go wrong if the others show anything.
 * One line of JSON for each, then one with the verdict.
 * Exit code: 0 host and gpu are right in every round, and none is wrong in one at least; 1 anything else; 2 wrong command line;
 * 69 no CUDA, or no GPU of NVIDIA's.
 *
 * CUDA's library is loaded by name, so that nothing of CUDA is needed to compile this. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { UNAVAILABLE = 69, PICTURES = 8, BUSY = 3 };

/* As cuda.h has them. */
typedef uint64_t device_pointer;
struct handle_desc {
    uint32_t type, padding;
    union {
        int fd;
        void *pointers[2];
    } handle;
    uint64_t size;
    uint32_t flags, reserved[16];
};
struct buffer_desc {
    uint64_t offset, size;
    uint32_t flags, reserved[16];
};
enum { OPAQUE_FD = 1, WAIT_GEQ = 0, NON_BLOCKING = 1 };

#define FUNCTIONS(X)                                                                                             \
    X(init, "cuInit", (unsigned))                                                                                \
    X(driver_version, "cuDriverGetVersion", (int *))                                                             \
    X(device_by_pci, "cuDeviceGetByPCIBusId", (int *, const char *))                                             \
    X(primary_context, "cuDevicePrimaryCtxRetain", (void **, int))                                               \
    X(set_context, "cuCtxSetCurrent", (void *))                                                                  \
    X(stream_create, "cuStreamCreate", (void **, unsigned))                                                      \
    X(stream_wait, "cuStreamWaitValue32_v2", (void *, device_pointer, uint32_t, unsigned))                       \
    X(stream_synchronize, "cuStreamSynchronize", (void *))                                                       \
    X(copy_to_host, "cuMemcpyDtoHAsync_v2", (void *, device_pointer, size_t, void *))                            \
    X(host_allocate, "cuMemHostAlloc", (void **, size_t, unsigned))                                              \
    X(host_free, "cuMemFreeHost", (void *))                                                                      \
    X(import, "cuImportExternalMemory", (void **, const struct handle_desc *))                                   \
    X(map, "cuExternalMemoryGetMappedBuffer", (device_pointer *, void *, const struct buffer_desc *))            \
    X(memory_free, "cuMemFree_v2", (device_pointer))                                                             \
    X(destroy, "cuDestroyExternalMemory", (void *))

static struct {
#define X(name, symbol, parameters) int(*name) parameters;
    FUNCTIONS(X)
#undef X
} cuda;

#define CUDA(call)                                                                                               \
    do {                                                                                                         \
        int result_ = (call);                                                                                    \
        if (result_ != 0) {                                                                                      \
            fprintf(stderr, "%s:%d: %s is %d\n", __FILE__, __LINE__, #call, result_);                            \
            exit(EXIT_FAILURE);                                                                                  \
        }                                                                                                        \
    } while (0)

/* A function at an address of dlsym, which C has no conversion for. */
static void load(void *library, const char *symbol, void *function) {
    void *address = dlsym(library, symbol);
    if (!address) {
        fprintf(stderr, "gpu: libcuda.so.1 has no %s\n", symbol);
        exit(UNAVAILABLE);
    }
    memcpy(function, &address, sizeof address);
}

static void load_cuda(void) {
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) {
        fprintf(stderr, "gpu: no CUDA: %s\n", dlerror());
        exit(UNAVAILABLE);
    }
#define X(name, symbol, parameters) load(library, symbol, &cuda.name);
    FUNCTIONS(X)
#undef X
    int result = cuda.init(0);
    if (result != 0) {
        fprintf(stderr, "gpu: cuInit is %d\n", result);
        exit(UNAVAILABLE);
    }
}

/* Memory of ours where CUDA has it. */
struct imported {
    void *memory;
    device_pointer base, address;
};

static struct imported import(const nvdec_exported *exported) {
    struct imported imported;
    struct handle_desc handle;
    struct buffer_desc buffer;
    memset(&handle, 0, sizeof handle);
    memset(&buffer, 0, sizeof buffer);
    handle.type = OPAQUE_FD;
    handle.handle.fd = exported->fd;
    handle.size = buffer.size = exported->allocation;
    /* The descriptor is CUDA's from here on. */
    CUDA(cuda.import(&imported.memory, &handle));
    CUDA(cuda.map(&imported.base, imported.memory, &buffer));
    imported.address = imported.base + exported->offset;
    return imported;
}

static void forget(const struct imported *imported) {
    CUDA(cuda.memory_free(imported->base));
    CUDA(cuda.destroy(imported->memory));
}

enum way { HOST, GPU, NONE, WAYS };
static const char *const names[WAYS] = {"host", "gpu", "none"};

struct sum {
    unsigned rounds, right, pending;
    uint64_t wrong_bytes;
    double seconds;
};

struct run {
    nvdec_video *video, *busy[BUSY];
    nvdec_tensor_options options;
    nvdec_semaphore *semaphore;
    struct imported word;
    void *stream;
    /* What CUDA copied, and what is right. */
    unsigned char *copied, *right;
    size_t pictures, bytes;
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void one_round(struct run *run, enum way way, unsigned number, struct sum *sum) {
    size_t numbers[PICTURES];
    nvdec_batch *busy[BUSY], *batch;
    nvdec_exported exported = {.size = sizeof exported};
    uint32_t value, reached;

    /* Nothing that takes long comes between the batch and the copy. */
    memset(run->copied, 0x5a, run->bytes);
    /* Engines that are busy with others come late to the batch. */
    for (size_t at = 0; at < PICTURES; at++)
        numbers[at] = (number * PICTURES + at) % run->pictures;
    for (int at = 0; at < BUSY; at++)
        CHECK(nvdec_video_read(run->busy[at], &run->options, numbers, PICTURES, &busy[at]), NVDEC_OK);
    CHECK(nvdec_video_read(run->video, &run->options, numbers, PICTURES, &batch), NVDEC_OK);
    CHECK(nvdec_batch_signal(batch, run->semaphore, &value), NVDEC_OK);
    CHECK(nvdec_batch_export_fd(batch, &exported), NVDEC_OK);
    CHECK(exported.bytes, run->bytes);
    struct imported imported = import(&exported);

    double start = now();
    if (way == HOST)
        CHECK(nvdec_batch_wait(batch), NVDEC_OK);
    if (way == GPU)
        CUDA(cuda.stream_wait(run->stream, run->word.address, value, WAIT_GEQ));
    CUDA(cuda.copy_to_host(run->copied, imported.address, run->bytes, run->stream));
    CHECK(nvdec_semaphore_value(run->semaphore, &reached), NVDEC_OK);
    CUDA(cuda.stream_synchronize(run->stream));
    sum->seconds += now() - start;

    CHECK(nvdec_batch_download(batch, run->right, run->bytes, NULL), NVDEC_OK);
    uint64_t wrong = 0;
    for (size_t at = 0; at < run->bytes; at++)
        wrong += run->copied[at] != run->right[at];
    sum->rounds++;
    sum->right += wrong == 0;
    sum->wrong_bytes += wrong;
    sum->pending += (int32_t)(reached - value) < 0;

    for (int at = 0; at < BUSY; at++) {
        CHECK(nvdec_batch_wait(busy[at]), NVDEC_OK);
        CHECK(nvdec_batch_release(busy[at]), NVDEC_OK);
    }
    /* CUDA's import holds the memory, in whatever order the two go. */
    CHECK(nvdec_batch_release(batch), NVDEC_OK);
    forget(&imported);
}

static int usage(void) {
    fputs("usage: gpu CLIP [--device DEVICE] [--rounds N] [--spec SPEC]\n", stderr);
    return 2;
}

int main(int count, char **arguments) {
    const char *clip = NULL, *device = NULL;
    long rounds = 20;
    struct run run = {.options = {.size = sizeof run.options, .spec = "dtype=f16"}};
    for (int at = 1; at < count; at++) {
        const char *argument = arguments[at];
        const char *value = at + 1 < count ? arguments[at + 1] : NULL;
        if (argument[0] != '-' && !clip) {
            clip = argument;
            continue;
        }
        if (!value)
            return usage();
        if (strcmp(argument, "--device") == 0)
            device = value;
        else if (strcmp(argument, "--rounds") == 0)
            rounds = strtol(value, NULL, 10);
        else if (strcmp(argument, "--spec") == 0)
            run.options.spec = value;
        else
            return usage();
        at++;
    }
    if (!clip || rounds < 1 || rounds > 100000)
        return usage();
    CHECK(nvdec_abi_version(), NVDEC_ABI_VERSION);
    load_cuda();

    nvdec_context_options options = {.size = sizeof options, .device = device, .fallback = NVDEC_FALLBACK_NEVER};
    nvdec_context *context;
    if (nvdec_context_open(&options, &context) != NVDEC_OK) {
        fprintf(stderr, "gpu: %s\n", nvdec_last_error(NULL));
        return UNAVAILABLE;
    }
    nvdec_context_info machine = {.size = sizeof machine};
    CHECK(nvdec_context_describe(context, &machine), NVDEC_OK);
    if (machine.emulated) {
        fputs("gpu: CUDA has no part of the emulated GPU\n", stderr);
        return UNAVAILABLE;
    }
    int ordinal, version;
    void *cuda_context;
    CUDA(cuda.driver_version(&version));
    CUDA(cuda.device_by_pci(&ordinal, machine.pci));
    CUDA(cuda.primary_context(&cuda_context, ordinal));
    CUDA(cuda.set_context(cuda_context));
    CUDA(cuda.stream_create(&run.stream, NON_BLOCKING));

    nvdec_video_info info = {.size = sizeof info};
    nvdec_exported exported = {.size = sizeof exported};
    CHECK(nvdec_video_open(context, clip, NULL, &run.video), NVDEC_OK);
    CHECK(nvdec_video_describe(run.video, &info), NVDEC_OK);
    run.pictures = (size_t)info.pictures;
    for (int at = 0; at < BUSY; at++)
        CHECK(nvdec_video_open(context, clip, NULL, &run.busy[at]), NVDEC_OK);
    CHECK(nvdec_semaphore_create(context, &run.semaphore), NVDEC_OK);
    CHECK(nvdec_semaphore_export_fd(run.semaphore, &exported), NVDEC_OK);
    run.word = import(&exported);
    uint64_t bytes;
    void *copied;
    CHECK(nvdec_video_price(run.video, &run.options, PICTURES, NULL, &bytes), NVDEC_OK);
    run.bytes = (size_t)bytes;
    CUDA(cuda.host_allocate(&copied, run.bytes, 0));
    run.copied = copied;
    run.right = malloc(run.bytes);
    CHECK(run.right != NULL, 1);

    printf("{\"gpu\":\"%s\",\"driver\":\"%s\",\"cuda\":%d,\"clip\":\"%ux%u\",\"pictures\":%" PRIu64 ",\"of_each\":%d}\n",
           machine.name, machine.driver, version, info.width, info.height, info.pictures, PICTURES);
    struct sum sums[WAYS] = {{0}};
    for (unsigned number = 0; number < (unsigned)rounds; number++)
        for (int way = 0; way < WAYS; way++)
            one_round(&run, (enum way)way, number, &sums[way]);
    for (int way = 0; way < WAYS; way++)
        printf("{\"wait\":\"%s\",\"rounds\":%u,\"right\":%u,\"pending\":%u,\"wrong_bytes\":%" PRIu64 ",\"ms\":%.3f}\n",
               names[way], sums[way].rounds, sums[way].right, sums[way].pending, sums[way].wrong_bytes,
               1000 * sums[way].seconds / sums[way].rounds);

    for (int at = 0; at < BUSY; at++)
        CHECK(nvdec_video_release(run.busy[at]), NVDEC_OK);
    CHECK(nvdec_video_release(run.video), NVDEC_OK);
    CHECK(nvdec_semaphore_release(run.semaphore), NVDEC_OK);
    CHECK(nvdec_context_close(context), NVDEC_OK);
    forget(&run.word);
    CUDA(cuda.host_free(copied));
    free(run.right);
    int is_right = sums[HOST].right == sums[HOST].rounds && sums[GPU].right == sums[GPU].rounds;
    int is_shown = sums[GPU].pending > 0 && sums[NONE].right < sums[NONE].rounds;
    const char *verdict = !is_right  ? "CUDA read something else"
                          : is_shown ? "right"
                                     : "no batch was late, so that nothing was waited for: take a larger clip";
    printf("{\"verdict\":\"%s\"}\n", verdict);
    return is_right && is_shown ? EXIT_SUCCESS : EXIT_FAILURE;
}
