/* What the interface is for: streams, videos, batches. usage: use VIDEO.mp4 STREAM.hevc PLANES
 * The planes of all pictures of the stream are written to PLANES. */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include <math.h>
#include <unistd.h>

/* As dlpack.h declares it. */
struct DLManagedTensorVersioned {
    struct {
        uint32_t major, minor;
    } version;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensorVersioned *self);
    uint64_t flags;
    struct {
        void *data;
        struct {
            int32_t device_type, device_id;
        } device;
        int32_t ndim;
        struct {
            uint8_t code, bits;
            uint16_t lanes;
        } dtype;
        int64_t *shape, *strides;
        uint64_t byte_offset;
    } dl_tensor;
};

/* Where planes go, if anywhere. */
static FILE *planes_file;

/* Receives all frames that are due, and looks at each. */
static nvdec_result drain(nvdec_decoder *decoder, unsigned *count, uint64_t opaque, int is_timed) {
    nvdec_frame *frame;
    nvdec_result result;
    while ((result = nvdec_decoder_receive(decoder, &frame)) == NVDEC_OK) {
        nvdec_frame_info info = {.size = sizeof info};
        nvdec_integrity integrity = {.size = sizeof integrity};
        CHECK(nvdec_frame_describe(frame, &info), NVDEC_OK);
        CHECK(info.width, 202);
        CHECK(info.height, 150);
        CHECK(info.bit_depth, 8);
        CHECK(info.chroma_format_idc, 1);
        CHECK(info.pts, is_timed ? 77 : NVDEC_NO_TIME);
        CHECK(info.opaque, opaque);
        CHECK(*count == 0 ? info.key != 0 : 1, 1);
        CHECK(nvdec_frame_integrity(frame, &integrity), NVDEC_OK);
        CHECK(integrity.kind, NVDEC_INTEGRITY_EXACT);
        CHECK(strcmp(integrity.text, "exact"), 0);

        size_t needed = 0;
        CHECK(nvdec_frame_download(frame, NULL, 0, &needed), NVDEC_OK);
        CHECK(needed, 202 * 150 + 2 * 101 * 75);
        unsigned char *planes = malloc(needed);
        CHECK(nvdec_frame_download(frame, planes, needed - 1, NULL), NVDEC_BUFFER_TOO_SMALL);
        CHECK(nvdec_frame_download(frame, planes, needed, NULL), NVDEC_OK);
        unsigned sum = 0;
        for (size_t at = 0; at < needed; at++)
            sum += planes[at];
        CHECK(sum > 0, 1);
        if (planes_file)
            CHECK(fwrite(planes, 1, needed, planes_file), needed);
        free(planes);
        CHECK(nvdec_frame_release(frame), NVDEC_OK);
        ++*count;
    }
    CHECK(frame == NULL, 1);
    return result;
}

static void stream(nvdec_context *context, const char *path, const char *planes) {
    size_t length;
    unsigned char *bytes = read_file(path, &length);
    nvdec_decoder_options options = {.size = sizeof options, .mode = NVDEC_MODE_LOW_LATENCY, .least_busy = 1};
    nvdec_decoder *decoder;
    CHECK(nvdec_decoder_open(context, NVDEC_CODEC_HEVC, &options, &decoder), NVDEC_OK);

    nvdec_decoder_memory unknown = {.size = sizeof unknown, .total = 7};
    CHECK(nvdec_decoder_price(decoder, &unknown), NVDEC_AGAIN);
    CHECK(unknown.total, 7);

    /* In pieces that end anywhere. */
    planes_file = fopen(planes, "wb");
    CHECK(planes_file != NULL, 1);
    unsigned count = 0;
    for (size_t at = 0; at < length;) {
        size_t part = length - at < 1000 ? length - at : 1000;
        nvdec_packet packet = {
            .size = sizeof packet, .data = bytes + at, .length = part, .framing = NVDEC_FRAMING_BYTE_STREAM};
        nvdec_result result = nvdec_decoder_send(decoder, &packet);
        if (result == NVDEC_OK)
            at += part;
        else
            CHECK(result, NVDEC_AGAIN);
        CHECK(drain(decoder, &count, 0, 0), NVDEC_AGAIN);
    }
    nvdec_result result;
    while ((result = nvdec_decoder_flush(decoder)) == NVDEC_AGAIN)
        CHECK(drain(decoder, &count, 0, 0), NVDEC_AGAIN);
    CHECK(result, NVDEC_OK);
    CHECK(drain(decoder, &count, 0, 0), NVDEC_END);
    CHECK(nvdec_decoder_take_error(decoder), NVDEC_OK);
    CHECK(count > 1, 1);
    CHECK(fclose(planes_file), 0);
    planes_file = NULL;

    nvdec_decoder_memory memory = {.size = sizeof memory};
    CHECK(nvdec_decoder_price(decoder, &memory), NVDEC_OK);
    CHECK(memory.total, memory.surfaces + memory.motion + memory.scratch + memory.status);
    /* Two surfaces of 208x152 at least. */
    CHECK(memory.surfaces >= 2 * 208 * 152 * 3 / 2, 1);

    /* The same again, as access units with times, and with a seek in the midst. */
    CHECK(nvdec_decoder_reset(decoder), NVDEC_OK);
    nvdec_packet packet = {.size = sizeof packet,
                           .data = bytes,
                           .length = length,
                           .pts = 77,
                           .dts = NVDEC_NO_TIME,
                           .duration = NVDEC_NO_TIME,
                           .opaque = 5,
                           .framing = NVDEC_FRAMING_ACCESS_UNIT};
    CHECK(nvdec_decoder_send(decoder, &packet), NVDEC_OK);
    CHECK(nvdec_decoder_reset(decoder), NVDEC_OK);
    unsigned again = 0;
    CHECK(drain(decoder, &again, 5, 1), NVDEC_AGAIN);
    CHECK(again, 0);
    CHECK(nvdec_decoder_send(decoder, &packet), NVDEC_OK);
    drain(decoder, &again, 5, 1);
    while ((result = nvdec_decoder_flush(decoder)) == NVDEC_AGAIN)
        drain(decoder, &again, 5, 1);
    CHECK(result, NVDEC_OK);
    CHECK(drain(decoder, &again, 5, 1), NVDEC_END);
    CHECK(again, count);
    CHECK(nvdec_decoder_release(decoder), NVDEC_OK);
    free(bytes);
}

/* Keeps every frame to the end: the decoder takes more memory for that, and says so when it may not. */
static void keep(nvdec_context *context, const char *path) {
    size_t length;
    unsigned char *bytes = read_file(path, &length);
    nvdec_decoder_options options = {.size = sizeof options, .least_busy = 1, .held_frames = 1};
    nvdec_decoder *decoder;
    CHECK(nvdec_decoder_open(context, NVDEC_CODEC_HEVC, &options, &decoder), NVDEC_OK);
    nvdec_frame *frames[64];
    unsigned count = 0;
    nvdec_packet packet = {
        .size = sizeof packet, .data = bytes, .length = length, .framing = NVDEC_FRAMING_BYTE_STREAM};
    int is_sent = 0;
    for (;;) {
        nvdec_result result = nvdec_decoder_receive(decoder, &frames[count]);
        if (result == NVDEC_OK) {
            count++;
            CHECK(count < 64, 1);
        } else if (result == NVDEC_END) {
            break;
        } else {
            CHECK(result, NVDEC_AGAIN);
            result = is_sent ? nvdec_decoder_flush(decoder) : nvdec_decoder_send(decoder, &packet);
            is_sent = is_sent || result == NVDEC_OK;
            CHECK(result == NVDEC_OK || result == NVDEC_AGAIN, 1);
        }
    }
    CHECK(nvdec_decoder_release(decoder), NVDEC_OK);
    CHECK(count > 8, 1);
    for (unsigned at = 0; at < count; at++) {
        nvdec_integrity integrity = {.size = sizeof integrity};
        CHECK(nvdec_frame_integrity(frames[at], &integrity), NVDEC_OK);
        CHECK(integrity.kind, NVDEC_INTEGRITY_EXACT);
        CHECK(nvdec_frame_release(frames[at]), NVDEC_OK);
    }
    free(bytes);
}

/* Where the next unit begins, behind its start code; `length` if there is none. */
static size_t next_unit(const unsigned char *bytes, size_t length, size_t at) {
    for (; at + 3 <= length; at++)
        if (bytes[at] == 0 && bytes[at + 1] == 0 && bytes[at + 2] == 1)
            return at + 3;
    return length;
}

/* Unit by unit with times, and without the second picture. What is then said of the others; or how the stream ends. */
static void lose_one(nvdec_context *context, const char *path, nvdec_policy policy) {
    size_t length;
    unsigned char *bytes = read_file(path, &length);
    nvdec_decoder_options options = {.size = sizeof options, .policy = policy};
    nvdec_decoder *decoder;
    CHECK(nvdec_decoder_open(context, NVDEC_CODEC_HEVC, &options, &decoder), NVDEC_OK);
    unsigned slices = 0, exact = 0, others = 0;
    nvdec_result result = NVDEC_OK;
    for (size_t at = next_unit(bytes, length, 0), next; at < length && result != NVDEC_NOT_EXACT; at = next) {
        next = next_unit(bytes, length, at);
        size_t end = next == length ? length : next - 3;
        /* A zero in front of a start code is not of the unit. */
        while (end > at && bytes[end - 1] == 0)
            end--;
        int is_slice = (bytes[at] >> 1 & 0x3f) < 32;
        slices += is_slice;
        if (is_slice && slices == 2)
            continue;
        nvdec_packet packet = {.size = sizeof packet,
                               .data = bytes + at,
                               .length = end - at,
                               .pts = slices,
                               .dts = NVDEC_NO_TIME,
                               .duration = 1,
                               .opaque = 100 + slices,
                               .framing = NVDEC_FRAMING_UNIT};
        while ((result = nvdec_decoder_send(decoder, &packet)) == NVDEC_AGAIN) {
            nvdec_frame *frame;
            CHECK(nvdec_decoder_receive(decoder, &frame), NVDEC_OK);
            CHECK(nvdec_frame_release(frame), NVDEC_OK);
        }
    }
    if (result != NVDEC_NOT_EXACT)
        result = nvdec_decoder_flush(decoder);
    nvdec_frame *frame = NULL;
    nvdec_result received;
    while ((received = nvdec_decoder_receive(decoder, &frame)) == NVDEC_OK) {
        nvdec_frame_info info = {.size = sizeof info};
        nvdec_integrity integrity = {.size = sizeof integrity};
        CHECK(nvdec_frame_describe(frame, &info), NVDEC_OK);
        CHECK(info.opaque, 100 + info.pts);
        CHECK(info.duration, 1);
        CHECK(nvdec_frame_integrity(frame, &integrity), NVDEC_OK);
        if (integrity.kind == NVDEC_INTEGRITY_EXACT)
            exact++;
        else
            others++;
        CHECK(nvdec_frame_release(frame), NVDEC_OK);
    }
    if (policy == NVDEC_POLICY_STOP) {
        /* It may come to light only when the last pictures are asked for. */
        if (result != NVDEC_NOT_EXACT)
            result = nvdec_decoder_flush(decoder);
        CHECK(result, NVDEC_NOT_EXACT);
        CHECK_SAYS(decoder, "is not exact");
        CHECK(others, 0);
    } else {
        CHECK(received, NVDEC_END);
        CHECK(exact > 0, 1);
        CHECK(others > 0, policy == NVDEC_POLICY_DELIVER);
    }
    CHECK(nvdec_decoder_release(decoder), NVDEC_OK);
    free(bytes);
}

/* A source of a caller's: a file in memory, and how far it was read. */
struct place {
    const unsigned char *bytes;
    int64_t length, at;
    unsigned calls;
    int is_broken;
};

static int64_t read_place(void *user, uint8_t *buffer, size_t length) {
    struct place *place = user;
    place->calls++;
    if (place->is_broken)
        return -5;
    int64_t left = place->length - place->at;
    size_t part = left <= 0 ? 0 : (uint64_t)left < length ? (size_t)left : length;
    if (part)
        memcpy(buffer, place->bytes + place->at, part);
    place->at += (int64_t)part;
    return (int64_t)part;
}

static int64_t seek_place(void *user, int64_t offset, int32_t whence) {
    struct place *place = user;
    int64_t from = whence == 0 ? 0 : whence == 1 ? place->at : place->length;
    return from + offset < 0 ? -1 : (place->at = from + offset);
}

static void describe(nvdec_video *video) {
    nvdec_video_info info = {.size = sizeof info};
    CHECK(nvdec_video_describe(video, &info), NVDEC_OK);
    CHECK(info.pictures, 24);
    CHECK(info.width, 128);
    CHECK(info.height, 96);
    CHECK(info.frame_rate_num / info.frame_rate_den, 24);
    CHECK(lround(info.duration * 1000), 1000);
    CHECK(info.codec, NVDEC_CODEC_HEVC);
    CHECK(info.rotation, 0);
    CHECK(strcmp(info.container, "MP4"), 0);

    size_t number = 99, count = 99, numbers[4];
    CHECK(nvdec_video_at(video, 0.5, &number), NVDEC_OK);
    CHECK(number, 12);
    CHECK(nvdec_video_at(video, 1.5, &number), NVDEC_NO_PICTURE);
    CHECK_SAYS(video, "go from 0 s to 1 s");
    CHECK(nvdec_video_between(video, 0.0, 1.0, 4.0, NULL, 0, &count), NVDEC_OK);
    CHECK(count, 4);
    CHECK(nvdec_video_between(video, 0.0, 1.0, 4.0, numbers, 3, NULL), NVDEC_BUFFER_TOO_SMALL);
    CHECK(nvdec_video_between(video, 0.0, 1.0, 4.0, numbers, 4, NULL), NVDEC_OK);
    CHECK(numbers[3], 18);
    nvdec_picture_info picture = {.size = sizeof picture};
    CHECK(nvdec_video_picture(video, 12, &picture), NVDEC_OK);
    CHECK(picture.key, 1);
    CHECK(lround(picture.seconds * 1000), 500);
    CHECK(nvdec_video_picture(video, 24, &picture), NVDEC_NO_PICTURE);
}

/* Pictures in any order, in host memory: the same number twice is the same picture. */
static void batch(nvdec_video *video, nvdec_semaphore *semaphore, const char *spec, unsigned element) {
    const size_t numbers[] = {17, 3, 17};
    nvdec_tensor_options options = {.size = sizeof options, .spec = spec};
    uint64_t shape[4], bytes;
    CHECK(nvdec_video_price(video, &options, 3, shape, &bytes), NVDEC_OK);
    nvdec_batch *batch;
    CHECK(nvdec_video_read(video, &options, numbers, 3, &batch), NVDEC_OK);
    nvdec_batch_info info = {.size = sizeof info};
    CHECK(nvdec_batch_describe(batch, &info), NVDEC_OK);
    CHECK(memcmp(shape, info.shape, sizeof shape), 0);
    CHECK(info.bytes, bytes);
    CHECK(info.bytes, shape[0] * shape[1] * shape[2] * shape[3] * element);
    CHECK(info.decoded >= 2, 1);
    CHECK(nvdec_batch_wait(batch), NVDEC_OK);
    nvdec_batch_picture picture = {.size = sizeof picture};
    CHECK(nvdec_batch_picture_at(batch, 1, &picture), NVDEC_OK);
    CHECK(picture.number, 3);

    nvdec_exported exported = {.size = sizeof exported};
    CHECK(nvdec_batch_export_fd(batch, &exported), NVDEC_OK);
    CHECK(exported.bytes, bytes);
    CHECK(exported.offset + exported.bytes <= exported.allocation, 1);
    CHECK(close(exported.fd), 0);

    /* Counts one on for each batch. */
    uint32_t before, value, after;
    CHECK(nvdec_semaphore_value(semaphore, &before), NVDEC_OK);
    CHECK(nvdec_batch_signal(batch, semaphore, &value), NVDEC_OK);
    CHECK(value, before + 1);
    CHECK(nvdec_batch_wait(batch), NVDEC_OK);
    CHECK(nvdec_semaphore_value(semaphore, &after), NVDEC_OK);
    CHECK(after, value);

    unsigned char *host = malloc(bytes);
    CHECK(nvdec_batch_download(batch, host, bytes, NULL), NVDEC_OK);
    CHECK(memcmp(host, host + 2 * bytes / 3, bytes / 3), 0);
    CHECK(memcmp(host, host + bytes / 3, bytes / 3) != 0, 1);
    struct DLManagedTensorVersioned *tensor;
    CHECK(nvdec_batch_to_dlpack(batch, 0, NVDEC_STREAM_NONE, &tensor), NVDEC_OK);
    CHECK(nvdec_batch_release(batch), NVDEC_OK);
    CHECK(tensor->version.major, 1);
    CHECK(tensor->dl_tensor.device.device_type, 1);
    CHECK(tensor->dl_tensor.ndim, 4);
    CHECK(tensor->dl_tensor.dtype.code, element == 1 ? 1 : 2);
    CHECK(tensor->dl_tensor.dtype.bits, 8 * element);
    for (int at = 0; at < 4; at++)
        CHECK(tensor->dl_tensor.shape[at], shape[at]);
    CHECK(tensor->dl_tensor.strides[3], 1);
    CHECK(tensor->dl_tensor.strides[0], shape[1] * shape[2] * shape[3]);
    CHECK((uintptr_t)tensor->dl_tensor.data % 256, 0);
    CHECK(memcmp(tensor->dl_tensor.data, host, bytes), 0);
    tensor->deleter(tensor);
    free(host);
}

int main(int count, char **arguments) {
    CHECK(count, 4);
    CHECK(nvdec_abi_version(), NVDEC_ABI_VERSION);
    CHECK(strlen(nvdec_version()) > 4, 1);
    char *json;
    CHECK(nvdec_probe_json(&json), NVDEC_OK);
    CHECK(strstr(json, "\"abi_version\":1") != NULL, 1);
    nvdec_string_release(json);

    nvdec_context *context = open_emulated();
    nvdec_context_info info = {.size = sizeof info};
    CHECK(nvdec_context_describe(context, &info), NVDEC_OK);
    CHECK(info.emulated, 1);
    CHECK(info.engines != 0, 1);
    CHECK(strlen(info.name) > 0 && strlen(info.driver) > 0 && strlen(info.generation) > 0, 1);

    stream(context, arguments[2], arguments[3]);
    keep(context, arguments[2]);
    lose_one(context, arguments[2], NVDEC_POLICY_DELIVER);
    lose_one(context, arguments[2], NVDEC_POLICY_SKIP);
    lose_one(context, arguments[2], NVDEC_POLICY_STOP);

    nvdec_semaphore *semaphore;
    nvdec_exported record = {.size = sizeof record};
    CHECK(nvdec_semaphore_create(context, &semaphore), NVDEC_OK);
    CHECK(nvdec_semaphore_export_fd(semaphore, &record), NVDEC_OK);
    CHECK(record.bytes, 16);
    CHECK(record.offset % 16, 0);
    CHECK(record.offset + record.bytes <= record.allocation, 1);
    CHECK(close(record.fd), 0);

    nvdec_video *video;
    CHECK(nvdec_video_open(context, arguments[1], NULL, &video), NVDEC_OK);
    describe(video);
    nvdec_decoder_memory memory = {.size = sizeof memory};
    CHECK(nvdec_video_decoder_price(video, &memory), NVDEC_AGAIN);
    batch(video, semaphore, NULL, 1);
    CHECK(nvdec_video_decoder_price(video, &memory), NVDEC_OK);
    CHECK(memory.surfaces >= 2 * 128 * 96 * 3 / 2, 1);
    batch(video, semaphore, "size=32x24,dtype=f16,layout=nhwc", 2);
    batch(video, semaphore, "orientation=90,dtype=f32,mean=0.5,std=0.25", 4);
    size_t needed;
    CHECK(nvdec_video_store_index(video, NULL, 0, &needed), NVDEC_OK);
    unsigned char *index = malloc(needed);
    CHECK(nvdec_video_store_index(video, index, needed, NULL), NVDEC_OK);
    CHECK(nvdec_video_release(video), NVDEC_OK);

    nvdec_video_options options = {.size = sizeof options, .index = index, .index_size = needed};
    CHECK(nvdec_video_open(context, arguments[1], &options, &video), NVDEC_OK);
    describe(video);
    CHECK(nvdec_video_release(video), NVDEC_OK);
    /* An index is of one file alone. */
    CHECK(nvdec_video_open(context, arguments[2], &options, &video), NVDEC_STALE_INDEX);
    CHECK(video == NULL, 1);
    free(index);

    size_t length;
    unsigned char *bytes = read_file(arguments[1], &length);
    CHECK(nvdec_video_open_memory(context, bytes, length, NULL, &video), NVDEC_OK);
    describe(video);
    CHECK(nvdec_video_release(video), NVDEC_OK);

    struct place place = {.bytes = bytes, .length = (int64_t)length};
    nvdec_source source = {.size = sizeof source, .user = &place, .read = read_place, .seek = seek_place};
    CHECK(nvdec_video_open_source(context, &source, NULL, &video), NVDEC_OK);
    /* What was made of a context does not need it. */
    CHECK(nvdec_context_close(context), NVDEC_OK);
    describe(video);
    batch(video, semaphore, "size=16x16", 1);
    CHECK(place.calls > 0, 1);
    place.is_broken = 1;
    const size_t first = 0;
    nvdec_batch *none;
    CHECK(nvdec_video_read(video, NULL, &first, 1, &none), NVDEC_IO);
    CHECK_SAYS(video, "read function said -5");
    CHECK(none == NULL, 1);
    /* It goes on when the source does. */
    place.is_broken = 0;
    batch(video, semaphore, "size=16x16", 1);
    CHECK(nvdec_video_release(video), NVDEC_OK);
    free(bytes);
    CHECK(nvdec_semaphore_release(semaphore), NVDEC_OK);
    puts("used");
    return EXIT_SUCCESS;
}
