// A library that answers as CUDA's does, for tests of what is told to CUDA, and in which order. It maps memory that holds
// nothing, and writes each call that matters to the file CUDA_MODEL_LOG. Events are not reached as long as the file
// CUDA_MODEL_BUSY exists.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned result;
typedef uint64_t address;

static void note(const char *call, uint64_t a, uint64_t b) {
    FILE *log = fopen(getenv("CUDA_MODEL_LOG"), "a");
    fprintf(log, "%s %llu %llu\n", call, (unsigned long long)a, (unsigned long long)b);
    fclose(log);
}

#define ANSWER(name) result name(void) { return 0; }

ANSWER(cuInit)
ANSWER(cuDevicePrimaryCtxRelease_v2)
ANSWER(cuCtxPushCurrent_v2)
ANSWER(cuCtxPopCurrent_v2)

result cuDriverGetVersion(int *version) { *version = 13000; return 0; }
result cuGetErrorName(result status, const char **name) { (void)status; *name = "CUDA_ERROR_OF_THE_MODEL"; return 0; }
result cuDeviceGetCount(int *count) { *count = 2; return 0; }
result cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
result cuDeviceGetUuid_v2(void *uuid, int device) { memset(uuid, device, 16); return 0; }
result cuDeviceGetPCIBusId(char *text, int length, int device) {
    // The emulated GPU is the second one.
    snprintf(text, length, device == 1 ? "0000:40:00.0" : "0000:99:00.0");
    return 0;
}
result cuDevicePrimaryCtxRetain(void **context, int device) { *context = (void *)(uintptr_t)(4096 + device); return 0; }

struct handle_desc { unsigned kind, padding; int fd; unsigned rest[3]; uint64_t size; };
struct buffer_desc { uint64_t offset, size; };

result cuImportExternalMemory(void **handle, const struct handle_desc *desc) {
    note("import", desc->fd >= 0, desc->size);
    // It is CUDA's now.
    close(desc->fd);
    *handle = malloc(1);
    return 0;
}
result cuExternalMemoryGetMappedBuffer(address *pointer, void *handle, const struct buffer_desc *desc) {
    (void)handle;
    *pointer = (address)(uintptr_t)calloc(1, desc->size);
    note("map", *pointer, desc->size);
    return 0;
}
result cuDestroyExternalMemory(void *handle) { free(handle); return 0; }
result cuMemFree_v2(address pointer) { note("free", pointer, 0); free((void *)(uintptr_t)pointer); return 0; }
result cuStreamWaitValue32_v2(void *stream, address at, unsigned value, unsigned flags) {
    note("wait", (uintptr_t)stream, value);
    return flags != 0 || at == 0;
}

struct event { uint64_t stream; };

result cuEventCreate(void **event, unsigned flags) { (void)flags; *event = calloc(1, sizeof(struct event)); return 0; }
result cuEventRecord(struct event *event, void *stream) {
    event->stream = (uintptr_t)stream;
    note("record", event->stream, 0);
    return 0;
}
result cuEventQuery(struct event *event) {
    const char *busy = getenv("CUDA_MODEL_BUSY");
    return event->stream && access(busy, F_OK) == 0 ? 600 : 0;
}
result cuEventSynchronize(struct event *event) { note("synchronize", event->stream, 0); return 0; }
result cuEventDestroy_v2(void *event) { free(event); return 0; }

// Nobody calls these.
#define REFUSE(name) result name(void) { note(#name, 0, 0); return 801; }

REFUSE(cuMemAlloc_v2)
REFUSE(cuMemImportFromShareableHandle)
REFUSE(cuMemAddressReserve)
REFUSE(cuMemAddressFree)
REFUSE(cuMemMap)
REFUSE(cuMemUnmap)
REFUSE(cuMemSetAccess)
REFUSE(cuMemRelease)
REFUSE(cuMemRetainAllocationHandle)
REFUSE(cuMemExportToShareableHandle)
REFUSE(cuPointerGetAttribute)
REFUSE(cuMemcpyDtoH_v2)
REFUSE(cuMemcpyHtoD_v2)
REFUSE(cuMemcpyDtoDAsync_v2)
REFUSE(cuMemsetD32Async)
REFUSE(cuStreamCreate)
REFUSE(cuStreamDestroy_v2)
REFUSE(cuStreamSynchronize)
REFUSE(cuStreamQuery)
REFUSE(cuStreamIsCapturing)
REFUSE(cuStreamWaitEvent)
REFUSE(cuStreamWriteValue32_v2)
REFUSE(cuModuleLoadData)
REFUSE(cuModuleUnload)
REFUSE(cuModuleGetFunction)
REFUSE(cuLaunchKernel)
