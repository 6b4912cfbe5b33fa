/* What the C tests share. */
#ifndef CHECK_H
#define CHECK_H

#include <nvdec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program with the place and both values if they differ. */
#define CHECK(found, expected)                                                                                   \
    do {                                                                                                         \
        long long found_ = (long long)(found), expected_ = (long long)(expected);                                \
        if (found_ != expected_) {                                                                               \
            fprintf(stderr, "%s:%d: %s is %lld, not %s = %lld; %s\n", __FILE__, __LINE__, #found, found_,        \
                    #expected, expected_, nvdec_last_error(NULL));                                               \
            exit(EXIT_FAILURE);                                                                                  \
        }                                                                                                        \
    } while (0)

/* Ends the program unless the text of the last failure has these words. */
#define CHECK_SAYS(object, words)                                                                                \
    do {                                                                                                         \
        const char *said_ = nvdec_last_error(object);                                                            \
        if (!strstr(said_, words)) {                                                                             \
            fprintf(stderr, "%s:%d: \"%s\" lacks \"%s\"\n", __FILE__, __LINE__, said_, words);                   \
            exit(EXIT_FAILURE);                                                                                  \
        }                                                                                                        \
    } while (0)

/* A whole file in memory of malloc. */
static inline unsigned char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    *length = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*length);
    if (!bytes || fread(bytes, 1, *length, file) != *length) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    fclose(file);
    return bytes;
}

/* The emulated GPU. */
static inline nvdec_context *open_emulated(void) {
    nvdec_context_options options = {.size = sizeof options, .device = "emulated"};
    nvdec_context *context;
    CHECK(nvdec_context_open(&options, &context), NVDEC_OK);
    return context;
}

#endif
