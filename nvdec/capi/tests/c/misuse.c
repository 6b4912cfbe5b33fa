/* What callers get wrong: each is told so, and nothing breaks. usage: misuse VIDEO.mp4 STREAM.hevc */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include <pthread.h>

static void nulls(nvdec_context *context, nvdec_video *video) {
    nvdec_decoder *decoder;
    nvdec_batch *batch;
    nvdec_semaphore *semaphore = NULL;
    size_t number = 0;
    CHECK(nvdec_context_open(NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_context_describe(NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK_SAYS(NULL, "the context is NULL");
    CHECK(nvdec_context_describe(context, NULL), NVDEC_NULL_ARGUMENT);
    CHECK_SAYS(context, "nvdec_context_info is NULL");
    CHECK(nvdec_context_release_memory(NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_decoder_open(NULL, NVDEC_CODEC_HEVC, NULL, &decoder), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_decoder_open(context, NVDEC_CODEC_HEVC, NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_decoder_send(NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_decoder_receive(NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_decoder_flush(NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_decoder_reset(NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_decoder_take_error(NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_frame_describe(NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_frame_integrity(NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_frame_download(NULL, NULL, 0, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_video_open(context, NULL, NULL, &video), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_video_open_memory(context, NULL, 5, NULL, &video), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_video_open_source(context, NULL, NULL, &video), NVDEC_NULL_ARGUMENT);
    nvdec_source source = {.size = sizeof source};
    CHECK(nvdec_video_open_source(context, &source, NULL, &video), NVDEC_NULL_ARGUMENT);
    CHECK_SAYS(context, "nvdec_source.read");
    CHECK(nvdec_video_describe(NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_video_picture(NULL, 0, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_video_at(NULL, 0, &number), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_video_between(NULL, 0, 1, 0, NULL, 0, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_video_store_index(NULL, NULL, 0, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_video_price(NULL, NULL, 1, NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_video_read(NULL, NULL, &number, 1, &batch), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_batch_describe(NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_batch_picture_at(NULL, 0, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_batch_integrity(NULL, 0, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_batch_wait(NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_batch_download(NULL, NULL, 0, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_batch_export_fd(NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_batch_to_dlpack(NULL, 0, 0, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_decoder_price(NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_video_decoder_price(NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_batch_signal(NULL, NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_semaphore_create(NULL, &semaphore), NVDEC_NULL_ARGUMENT);
    CHECK(semaphore == NULL, 1);
    CHECK(nvdec_semaphore_value(NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_semaphore_export_fd(NULL, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_probe_json(NULL), NVDEC_NULL_ARGUMENT);
    /* Nothing is released. */
    CHECK(nvdec_context_close(NULL), NVDEC_OK);
    CHECK(nvdec_decoder_release(NULL), NVDEC_OK);
    CHECK(nvdec_frame_release(NULL), NVDEC_OK);
    CHECK(nvdec_video_release(NULL), NVDEC_OK);
    CHECK(nvdec_batch_release(NULL), NVDEC_OK);
    CHECK(nvdec_semaphore_release(NULL), NVDEC_OK);
    nvdec_string_release(NULL);
    CHECK(strlen(nvdec_result_text(NVDEC_BUSY)) > 0, 1);
    CHECK(strcmp(nvdec_result_text(12345), "an unknown result"), 0);
}

static void options(nvdec_context *context) {
    nvdec_context *other;
    nvdec_context_options opening = {.size = 3, .device = "emulated"};
    CHECK(nvdec_context_open(&opening, &other), NVDEC_INVALID_SIZE);
    CHECK(other == NULL, 1);
    opening.size = sizeof opening;
    opening.fallback = 9;
    CHECK(nvdec_context_open(&opening, &other), NVDEC_INVALID_ARGUMENT);
    CHECK_SAYS(NULL, "fallback: 9");
    opening.fallback = NVDEC_FALLBACK_NEVER;
    opening.device = "gpu";
    CHECK(nvdec_context_open(&opening, &other), NVDEC_INVALID_ARGUMENT);
    opening.device = "cuda:0";
    CHECK(nvdec_context_open(&opening, &other), NVDEC_UNSUPPORTED);
    CHECK_SAYS(NULL, "cuda:0");
    opening.device = "\xff\xfe";
    CHECK(nvdec_context_open(&opening, &other), NVDEC_INVALID_ARGUMENT);

    nvdec_decoder *decoder;
    CHECK(nvdec_decoder_open(context, 77, NULL, &decoder), NVDEC_INVALID_ARGUMENT);
    nvdec_decoder_options decoding = {.size = sizeof decoding, .mode = 5};
    CHECK(nvdec_decoder_open(context, NVDEC_CODEC_HEVC, &decoding, &decoder), NVDEC_INVALID_ARGUMENT);
    CHECK_SAYS(context, "mode: 5");
    decoding = (nvdec_decoder_options){.size = sizeof decoding, .engines = 1, .least_busy = 1};
    CHECK(nvdec_decoder_open(context, NVDEC_CODEC_HEVC, &decoding, &decoder), NVDEC_INVALID_ARGUMENT);
    decoding = (nvdec_decoder_options){.size = sizeof decoding, .engines = 1u << 31};
    CHECK(nvdec_decoder_open(context, NVDEC_CODEC_HEVC, &decoding, &decoder), NVDEC_UNSUPPORTED);
    CHECK(decoder == NULL, 1);
    /* A newer caller, whose further field this library does not know. */
    struct {
        nvdec_decoder_options known;
        uint64_t more;
    } newer = {.known = {.size = sizeof newer}};
    CHECK(nvdec_decoder_open(context, NVDEC_CODEC_HEVC, &newer.known, &decoder), NVDEC_OK);
    CHECK(nvdec_decoder_release(decoder), NVDEC_OK);
    newer.more = 1;
    CHECK(nvdec_decoder_open(context, NVDEC_CODEC_HEVC, &newer.known, &decoder), NVDEC_INVALID_SIZE);

    nvdec_video *video;
    CHECK(nvdec_video_open(context, "/nowhere/at.all", NULL, &video), NVDEC_IO);
    CHECK(nvdec_video_open_memory(context, (const uint8_t *)"no video", 8, NULL, &video), NVDEC_NO_VIDEO);
    CHECK(nvdec_video_open_memory(context, NULL, 0, NULL, &video), NVDEC_NO_VIDEO);
    CHECK(video == NULL, 1);
}

static void decoding(nvdec_context *context, const char *path) {
    nvdec_decoder *decoder;
    nvdec_frame *frame;
    CHECK(nvdec_decoder_open(context, NVDEC_CODEC_HEVC, NULL, &decoder), NVDEC_OK);
    CHECK(nvdec_decoder_send(decoder, NULL), NVDEC_NULL_ARGUMENT);
    nvdec_packet packet = {.size = sizeof packet, .length = 5, .framing = NVDEC_FRAMING_UNIT};
    CHECK(nvdec_decoder_send(decoder, &packet), NVDEC_NULL_ARGUMENT);
    packet.length = 0;
    CHECK(nvdec_decoder_send(decoder, &packet), NVDEC_INVALID_ARGUMENT);
    packet.framing = 0;
    CHECK(nvdec_decoder_send(decoder, &packet), NVDEC_INVALID_ARGUMENT);
    CHECK_SAYS(decoder, "framing: 0");
    CHECK(nvdec_decoder_receive(decoder, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_decoder_receive(decoder, &frame), NVDEC_AGAIN);
    CHECK(nvdec_decoder_price(decoder, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(frame == NULL, 1);

    /* A unit that is no HEVC is told, and the stream goes on. */
    const uint8_t nonsense[] = {0x42, 0x01, 0xff, 0x13};
    packet = (nvdec_packet){.size = sizeof packet, .data = nonsense, .length = 4, .framing = NVDEC_FRAMING_UNIT};
    CHECK(nvdec_decoder_send(decoder, &packet), NVDEC_OK);
    nvdec_result result = nvdec_decoder_take_error(decoder);
    CHECK(result == NVDEC_DAMAGED || result == NVDEC_UNSUPPORTED, 1);
    CHECK_SAYS(decoder, "unit at byte");
    CHECK(nvdec_decoder_take_error(decoder), NVDEC_OK);

    /* A frame that outlives its decoder and its context. */
    size_t length;
    unsigned char *bytes = read_file(path, &length);
    packet = (nvdec_packet){.size = sizeof packet, .data = bytes, .length = length, .framing = NVDEC_FRAMING_BYTE_STREAM};
    CHECK(nvdec_decoder_send(decoder, &packet), NVDEC_OK);
    while ((result = nvdec_decoder_receive(decoder, &frame)) == NVDEC_AGAIN) {
        result = nvdec_decoder_flush(decoder);
        CHECK(result == NVDEC_OK || result == NVDEC_AGAIN, 1);
    }
    CHECK(result, NVDEC_OK);
    free(bytes);
    CHECK(nvdec_decoder_release(decoder), NVDEC_OK);
    size_t needed;
    CHECK(nvdec_frame_download(frame, NULL, 0, &needed), NVDEC_OK);
    unsigned char *planes = malloc(needed);
    CHECK(nvdec_frame_download(frame, planes, needed, NULL), NVDEC_OK);
    free(planes);
    /* An object of another kind. */
    CHECK(nvdec_decoder_flush((nvdec_decoder *)frame), NVDEC_WRONG_OBJECT);
    CHECK(nvdec_batch_release((nvdec_batch *)frame), NVDEC_WRONG_OBJECT);
    CHECK(nvdec_frame_release(frame), NVDEC_OK);
}

static void reading(nvdec_context *context, nvdec_video *video) {
    nvdec_batch *batch;
    const size_t numbers[] = {0, 99};
    CHECK(nvdec_video_read(video, NULL, numbers, 0, &batch), NVDEC_INVALID_ARGUMENT);
    CHECK(nvdec_video_read(video, NULL, NULL, 2, &batch), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_video_read(video, NULL, numbers, 2, &batch), NVDEC_NO_PICTURE);
    CHECK_SAYS(video, "no picture 99");
    CHECK(batch == NULL, 1);
    nvdec_tensor_options options = {.size = sizeof options, .spec = "size=0x0"};
    CHECK(nvdec_video_read(video, &options, numbers, 1, &batch), NVDEC_INVALID_ARGUMENT);
    options.spec = "colour=red";
    CHECK(nvdec_video_read(video, &options, numbers, 1, &batch), NVDEC_INVALID_ARGUMENT);
    CHECK_SAYS(video, "colour");
    options.size = 5;
    CHECK(nvdec_video_read(video, &options, numbers, 1, &batch), NVDEC_INVALID_SIZE);
    uint64_t bytes;
    CHECK(nvdec_video_price(video, NULL, SIZE_MAX, NULL, &bytes), NVDEC_OUT_OF_MEMORY);
    size_t count;
    CHECK(nvdec_video_between(video, 0, 1, -3, NULL, 0, &count), NVDEC_INVALID_ARGUMENT);

    CHECK(nvdec_video_read(video, NULL, numbers, 1, &batch), NVDEC_OK);
    nvdec_integrity integrity = {.size = sizeof integrity};
    CHECK(nvdec_batch_integrity(batch, 1, &integrity), NVDEC_NO_PICTURE);
    CHECK(nvdec_batch_integrity(batch, 0, &integrity), NVDEC_OK);
    size_t needed;
    char little[4] = "abc";
    CHECK(nvdec_batch_download(batch, little, sizeof little, &needed), NVDEC_BUFFER_TOO_SMALL);
    CHECK(needed, 3 * 128 * 96);
    CHECK(strcmp(little, "abc"), 0);
    nvdec_exported exported = {.size = 1};
    CHECK(nvdec_batch_export_fd(batch, &exported), NVDEC_INVALID_SIZE);
    struct DLManagedTensorVersioned *tensor;
    CHECK(nvdec_batch_to_dlpack(batch, 0, NVDEC_STREAM_CUDA, &tensor), NVDEC_UNSUPPORTED);
    CHECK_SAYS(batch, "nvdec_batch_export_fd");
    CHECK(nvdec_batch_to_dlpack(batch, 1, NVDEC_STREAM_NONE, &tensor), NVDEC_INVALID_ARGUMENT);
    CHECK(nvdec_batch_to_dlpack(batch, 0, 7, &tensor), NVDEC_INVALID_ARGUMENT);
    nvdec_semaphore *semaphore;
    uint32_t value = 7;
    CHECK(nvdec_semaphore_create(context, &semaphore), NVDEC_OK);
    CHECK(nvdec_batch_signal(batch, NULL, &value), NVDEC_NULL_ARGUMENT);
    CHECK(nvdec_batch_signal(batch, (nvdec_semaphore *)batch, &value), NVDEC_WRONG_OBJECT);
    CHECK_SAYS(batch, "no semaphore");
    CHECK(nvdec_batch_signal(batch, semaphore, NULL), NVDEC_NULL_ARGUMENT);
    CHECK(value, 7);
    CHECK(nvdec_semaphore_value(semaphore, &value), NVDEC_OK);
    CHECK(value, 0);
    CHECK(nvdec_semaphore_value((nvdec_semaphore *)batch, &value), NVDEC_WRONG_OBJECT);
    exported.size = 4;
    CHECK(nvdec_semaphore_export_fd(semaphore, &exported), NVDEC_INVALID_SIZE);
    CHECK(nvdec_semaphore_release(semaphore), NVDEC_OK);
    CHECK(tensor == NULL, 1);
    CHECK(nvdec_batch_release(batch), NVDEC_OK);
}

/* A context that may have next to no memory says so, and works on when it is asked for less. */
static void no_memory(const char *path, const char *stream) {
    nvdec_context_options opening = {.size = sizeof opening, .device = "emulated", .memory_limit = 65536};
    nvdec_context *context;
    CHECK(nvdec_context_open(&opening, &context), NVDEC_OK);
    nvdec_context_info info = {.size = sizeof info};
    CHECK(nvdec_context_describe(context, &info), NVDEC_OK);
    CHECK(info.memory_limit, 65536);
    nvdec_video *video;
    CHECK(nvdec_video_open(context, path, NULL, &video), NVDEC_OK);
    const size_t numbers[] = {0, 1, 2};
    nvdec_batch *batch;
    CHECK(nvdec_video_read(video, NULL, numbers, 3, &batch), NVDEC_OUT_OF_MEMORY);
    nvdec_tensor_options options = {.size = sizeof options, .spec = "size=16x16"};
    CHECK(nvdec_video_read(video, &options, numbers, 3, &batch), NVDEC_OUT_OF_MEMORY);
    CHECK(batch == NULL, 1);
    CHECK(nvdec_video_describe(video, &(nvdec_video_info){.size = sizeof(nvdec_video_info)}), NVDEC_OK);
    CHECK(nvdec_video_release(video), NVDEC_OK);

    nvdec_decoder *decoder;
    CHECK(nvdec_decoder_open(context, NVDEC_CODEC_HEVC, NULL, &decoder), NVDEC_OK);
    size_t length;
    unsigned char *bytes = read_file(stream, &length);
    nvdec_packet packet = {
        .size = sizeof packet, .data = bytes, .length = length, .framing = NVDEC_FRAMING_BYTE_STREAM};
    nvdec_result result = nvdec_decoder_send(decoder, &packet);
    if (result == NVDEC_OK)
        result = nvdec_decoder_flush(decoder);
    CHECK(result, NVDEC_OUT_OF_MEMORY);
    CHECK_SAYS(decoder, "65536");
    free(bytes);
    CHECK(nvdec_decoder_release(decoder), NVDEC_OK);
    CHECK(nvdec_context_close(context), NVDEC_OK);
}

/* Decodes a stream within a limit and keeps all frames until it is told that this is too much. How many there were, and how
 * much memory is allocated at the end. */
static nvdec_result hoard(uint64_t limit, const char *path, unsigned *count, uint64_t *allocated) {
    nvdec_context_options opening = {.size = sizeof opening, .device = "emulated", .memory_limit = limit};
    nvdec_context *context;
    CHECK(nvdec_context_open(&opening, &context), NVDEC_OK);
    nvdec_decoder_options options = {.size = sizeof options, .least_busy = 1, .held_frames = 1};
    nvdec_decoder *decoder;
    CHECK(nvdec_decoder_open(context, NVDEC_CODEC_HEVC, &options, &decoder), NVDEC_OK);
    size_t length;
    unsigned char *bytes = read_file(path, &length);
    nvdec_packet packet = {
        .size = sizeof packet, .data = bytes, .length = length, .framing = NVDEC_FRAMING_BYTE_STREAM};
    nvdec_frame *frames[64];
    unsigned held = 0;
    int is_sent = 0;
    nvdec_result result, said = NVDEC_OK;
    *count = 0;
    while ((result = nvdec_decoder_receive(decoder, &frames[held])) != NVDEC_END) {
        if (result == NVDEC_OK) {
            CHECK(++held < 64, 1);
            ++*count;
            continue;
        }
        result = is_sent ? nvdec_decoder_flush(decoder) : nvdec_decoder_send(decoder, &packet);
        is_sent = is_sent || result == NVDEC_OK;
        if (result == NVDEC_FRAMES_HELD) {
            CHECK_SAYS(decoder, "drop frames and go on");
            said = result;
            while (held)
                CHECK(nvdec_frame_release(frames[--held]), NVDEC_OK);
        } else if (result != NVDEC_AGAIN && result != NVDEC_OK) {
            said = result;
            break;
        }
    }
    nvdec_context_info info = {.size = sizeof info};
    CHECK(nvdec_context_describe(context, &info), NVDEC_OK);
    *allocated = info.allocated_memory;
    while (held)
        CHECK(nvdec_frame_release(frames[--held]), NVDEC_OK);
    CHECK(nvdec_decoder_release(decoder), NVDEC_OK);
    CHECK(nvdec_context_close(context), NVDEC_OK);
    free(bytes);
    return said;
}

/* Between what the stream needs and what all frames take there is a limit at which it stops, and goes on. */
static void hoarding(const char *path) {
    unsigned all, count;
    uint64_t most, allocated;
    CHECK(hoard(NVDEC_UNLIMITED, path, &all, &most), NVDEC_OK);
    for (unsigned parts = 24; parts > 12; parts--) {
        nvdec_result result = hoard(most * parts / 24, path, &count, &allocated);
        if (result == NVDEC_FRAMES_HELD) {
            CHECK(count, all);
            CHECK(allocated <= most * parts / 24, 1);
            return;
        }
        CHECK(result == NVDEC_OK || result == NVDEC_OUT_OF_MEMORY, 1);
    }
    CHECK(!"a limit at which frames are held", 1);
}

/* A video whose source holds the thread up until the other one has tried to use the video as well. */
struct gate {
    const unsigned char *bytes;
    int64_t length, at;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int is_armed, is_inside, is_open;
    nvdec_context *context;
    nvdec_video *video;
};

static int64_t read_gate(void *user, uint8_t *buffer, size_t length) {
    struct gate *gate = user;
    pthread_mutex_lock(&gate->lock);
    if (!gate->video) {
        /* It is being opened: the context is used, and may be, but not closed. */
        nvdec_context_info info = {.size = sizeof info};
        CHECK(nvdec_context_describe(gate->context, &info), NVDEC_OK);
        CHECK(nvdec_context_close(gate->context), NVDEC_BUSY);
    }
    if (gate->is_armed) {
        gate->is_inside = 1;
        pthread_cond_broadcast(&gate->changed);
        while (!gate->is_open)
            pthread_cond_wait(&gate->changed, &gate->lock);
        gate->is_armed = 0;
        /* The callback is no way in either. */
        CHECK(nvdec_video_store_index(gate->video, NULL, 0, NULL), NVDEC_BUSY);
    }
    pthread_mutex_unlock(&gate->lock);
    int64_t left = gate->length - gate->at;
    size_t part = left <= 0 ? 0 : (uint64_t)left < length ? (size_t)left : length;
    if (part)
        memcpy(buffer, gate->bytes + gate->at, part);
    gate->at += (int64_t)part;
    return (int64_t)part;
}

static int64_t seek_gate(void *user, int64_t offset, int32_t whence) {
    struct gate *gate = user;
    int64_t from = whence == 0 ? 0 : whence == 1 ? gate->at : gate->length;
    return gate->at = from + offset;
}

static void *reader(void *user) {
    struct gate *gate = user;
    const size_t number = 5;
    nvdec_batch *batch;
    CHECK(nvdec_video_read(gate->video, NULL, &number, 1, &batch), NVDEC_OK);
    CHECK(nvdec_batch_wait(batch), NVDEC_OK);
    CHECK(nvdec_batch_release(batch), NVDEC_OK);
    return NULL;
}

static void busy(nvdec_context *context, const char *path) {
    size_t length;
    unsigned char *bytes = read_file(path, &length);
    struct gate gate = {.context = context,
                        .bytes = bytes,
                        .length = (int64_t)length,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .changed = PTHREAD_COND_INITIALIZER};
    nvdec_source source = {.size = sizeof source, .user = &gate, .read = read_gate, .seek = seek_gate};
    CHECK(nvdec_video_open_source(context, &source, NULL, &gate.video), NVDEC_OK);
    gate.is_armed = 1;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, reader, &gate), 0);
    pthread_mutex_lock(&gate.lock);
    while (!gate.is_inside)
        pthread_cond_wait(&gate.changed, &gate.lock);
    /* The reader is in its call for as long as the gate is shut. */
    nvdec_video_info info = {.size = sizeof info};
    CHECK(nvdec_video_describe(gate.video, &info), NVDEC_BUSY);
    CHECK_SAYS(gate.video, "one thread at a time");
    CHECK(nvdec_video_release(gate.video), NVDEC_BUSY);
    /* Other objects are not. */
    nvdec_decoder *decoder;
    CHECK(nvdec_decoder_open(context, NVDEC_CODEC_HEVC, NULL, &decoder), NVDEC_OK);
    CHECK(nvdec_decoder_release(decoder), NVDEC_OK);
    gate.is_open = 1;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    CHECK(pthread_join(thread, NULL), 0);
    CHECK(nvdec_video_describe(gate.video, &info), NVDEC_OK);
    CHECK(nvdec_video_release(gate.video), NVDEC_OK);
    free(bytes);
}

/* Two threads that never wait for each other call one video, and a context that does not mind. */
struct crowd {
    nvdec_context *context;
    nvdec_video *video;
    unsigned done, busy;
};

static void *caller(void *user) {
    struct crowd *crowd = user;
    for (int round = 0; round < 300; round++) {
        nvdec_video_info info = {.size = sizeof info};
        nvdec_context_info of_context = {.size = sizeof of_context};
        nvdec_result result = nvdec_video_describe(crowd->video, &info);
        if (result == NVDEC_OK) {
            CHECK(info.pictures, 24);
            crowd->done++;
        } else {
            CHECK(result, NVDEC_BUSY);
            CHECK_SAYS(crowd->video, "one thread at a time");
            crowd->busy++;
        }
        CHECK(nvdec_context_describe(crowd->context, &of_context), NVDEC_OK);
        CHECK(nvdec_video_picture(crowd->video, 99, NULL) != NVDEC_OK, 1);
        CHECK(strlen(nvdec_last_error(crowd->video)) > 0, 1);
    }
    return NULL;
}

static void crowded(nvdec_context *context, nvdec_video *video) {
    struct crowd crowds[2] = {{context, video, 0, 0}, {context, video, 0, 0}};
    pthread_t threads[2];
    for (int at = 0; at < 2; at++)
        CHECK(pthread_create(&threads[at], NULL, caller, &crowds[at]), 0);
    for (int at = 0; at < 2; at++)
        CHECK(pthread_join(threads[at], NULL), 0);
    CHECK(crowds[0].done + crowds[0].busy + crowds[1].done + crowds[1].busy, 600);
    CHECK(crowds[0].done + crowds[1].done > 0, 1);
}

int main(int count, char **arguments) {
    CHECK(count, 3);
    CHECK(strcmp(nvdec_last_error(NULL), ""), 0);
    uint64_t stranger[4] = {0};
    CHECK_SAYS(stranger, "no object of this library");
    nvdec_context *context = open_emulated();
    nvdec_video *video;
    CHECK(nvdec_video_open(context, arguments[1], NULL, &video), NVDEC_OK);
    nulls(context, video);
    options(context);
    decoding(context, arguments[2]);
    reading(context, video);
    crowded(context, video);
    CHECK(nvdec_video_release(video), NVDEC_OK);
    busy(context, arguments[1]);
    CHECK(nvdec_context_close(context), NVDEC_OK);
    no_memory(arguments[1], arguments[2]);
    hoarding(arguments[2]);
    puts("misused");
    return EXIT_SUCCESS;
}
