/* A contact sheet: eight pictures spread over a video, 64x64 each, in a PPM file.
 *
 *   cc -std=c11 thumbnails.c $(pkg-config --cflags --libs nvdec) -o thumbnails
 *   ./thumbnails clip.mp4 sheet.ppm [DEVICE]
 */
#include <nvdec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PICTURES = 8, ACROSS = 4, SIDE = 64, LINE = SIDE * 3, PICTURE = SIDE * LINE };

/* Says what failed; the text is of the object, or with NULL of the thread. */
static int failed(const char *what, nvdec_result result, const void *object) {
    fprintf(stderr, "thumbnails: %s: %s (%d)\n", what, nvdec_last_error(object), (int)result);
    return EXIT_FAILURE;
}

/* Writes the pictures of a batch, which lie one behind the other, in rows of four. */
static int write_sheet(const char *path, const unsigned char *pixels) {
    FILE *file = fopen(path, "wb");
    if (!file) {
        perror(path);
        return EXIT_FAILURE;
    }
    fprintf(file, "P6\n%d %d\n255\n", ACROSS * SIDE, PICTURES / ACROSS * SIDE);
    for (int row = 0; row < PICTURES / ACROSS; row++)
        for (int line = 0; line < SIDE; line++)
            for (int column = 0; column < ACROSS; column++)
                fwrite(pixels + (row * ACROSS + column) * PICTURE + line * LINE, 1, LINE, file);
    int is_whole = !ferror(file);
    if (fclose(file) != 0 || !is_whole) {
        perror(path);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

static int make_sheet(nvdec_video *video, const char *path) {
    nvdec_video_info info = {.size = sizeof info};
    nvdec_result result = nvdec_video_describe(video, &info);
    if (result != NVDEC_OK)
        return failed("the video", result, video);

    /* The middles of eight equal parts. */
    size_t numbers[PICTURES];
    for (int at = 0; at < PICTURES; at++)
        numbers[at] = (size_t)((2 * (uint64_t)at + 1) * info.pictures / (2 * PICTURES));

    nvdec_tensor_options options = {.size = sizeof options, .spec = "size=64x64,fit=letterbox,layout=nhwc"};
    nvdec_batch *batch;
    result = nvdec_video_read(video, &options, numbers, PICTURES, &batch);
    if (result != NVDEC_OK)
        return failed("reading", result, video);

    int status = EXIT_FAILURE;
    static unsigned char pixels[PICTURES * PICTURE];
    result = nvdec_batch_download(batch, pixels, sizeof pixels, NULL);
    if (result == NVDEC_OK)
        status = write_sheet(path, pixels);
    else
        failed("downloading", result, batch);

    for (size_t place = 0; status == EXIT_SUCCESS && place < PICTURES; place++) {
        nvdec_batch_picture picture = {.size = sizeof picture};
        nvdec_integrity integrity = {.size = sizeof integrity};
        nvdec_picture_info known = {.size = sizeof known};
        if (nvdec_batch_picture_at(batch, place, &picture) != NVDEC_OK
            || nvdec_batch_integrity(batch, place, &integrity) != NVDEC_OK
            || nvdec_video_picture(video, picture.number, &known) != NVDEC_OK)
            status = failed("a picture", NVDEC_INTERNAL, batch);
        else
            printf("picture %u at %.3f s: %s\n", (unsigned)picture.number, known.seconds, integrity.text);
    }
    nvdec_batch_release(batch);
    return status;
}

int main(int count, char **arguments) {
    if (count < 3 || count > 4) {
        fprintf(stderr, "usage: thumbnails VIDEO SHEET.ppm [DEVICE]\n");
        return 2;
    }
    if (nvdec_abi_version() != NVDEC_ABI_VERSION) {
        fprintf(stderr, "thumbnails: libnvdec has interface %u, this program is for %d\n", (unsigned)nvdec_abi_version(),
                NVDEC_ABI_VERSION);
        return EXIT_FAILURE;
    }

    nvdec_context_options options = {.size = sizeof options, .device = count == 4 ? arguments[3] : NULL};
    nvdec_context *context;
    nvdec_result result = nvdec_context_open(&options, &context);
    if (result != NVDEC_OK)
        return failed("opening a GPU", result, NULL);

    nvdec_video *video;
    result = nvdec_video_open(context, arguments[1], NULL, &video);
    int status;
    if (result == NVDEC_OK) {
        status = make_sheet(video, arguments[2]);
        nvdec_video_release(video);
    } else {
        status = failed(arguments[1], result, NULL);
    }
    nvdec_context_close(context);
    return status;
}
