#define _GNU_SOURCE
#include "tee.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "pal_run.h"
#include "plan.h"
#include "plan_store.h"
#include "program.h"
#include "python_part.h"
#include "report.h"

#define CONFIG "config.json"
#define PLAN_SWITCH "--plan" /* enclavize/rune/__main__.py; --plan=TREE for a converted image */
#define FOLDER "/.enclave"
#define UNDECIDED "undecided" /* enclavize/rune/supervise.py */

static bool fail(const struct command_line *line, const char *what, int error)
{
    char message[512];
    snprintf(message, sizeof(message), "%s%s%s", what, error ? ": " : "", error ? strerror(error) : "");
    report_error(line, message);
    return false;
}

/* Find the container's folders; `bundle` is open. */
static bool find_place(const struct command_line *line, int bundle, const char *tree, struct place *place)
{
    struct json root, value;
    char *path, *joined = NULL;
    if (!map_file(bundle, CONFIG, &place->config))
        return fail(line, "cannot read " CONFIG " of the bundle", errno);
    if (json_member(place->config, "root", &root) != JSON_FOUND || json_member(root, "path", &value) != JSON_FOUND || !(path = json_text(value)))
        return fail(line, "root.path in " CONFIG " of the bundle is not of the usual form", 0);
    place->bundle = realpath(line->bundle, NULL);
    if (!place->bundle || asprintf(&joined, "%s%s%s", *path == '/' ? "" : place->bundle, *path == '/' ? "" : "/", path) < 0 || !(place->rootfs = realpath(joined, NULL)))
        return fail(line, "cannot find the root file system of the bundle", errno);
    const char *parent = tree ? realpath(tree, NULL) : place->rootfs;
    char *enclave = NULL;
    if (!parent || asprintf(&enclave, "%s" FOLDER, strcmp(parent, "/") == 0 ? "" : parent) < 0)
        return fail(line, "cannot find the folder of the converted image", errno);
    place->enclave = enclave;
    place->folder = open(enclave, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return place->folder >= 0 || fail(line, "the TEE image has no readable " FOLDER, errno);
}

/* That of `enclavize run`, which decides in the place of enclavize-rune. It is kept if it may decide again. */
static bool given_plan(const struct command_line *line, const struct place *place, struct plan *plan)
{
    struct json text;
    struct plan known;
    errno = 0;
    if (!map_file(AT_FDCWD, line->plan, &text))
        return fail(line, "cannot read the file of --plan", errno);
    if (!read_plan(text, plan))
        return fail(line, "the file of --plan is no plan", 0);
    if (*plan->holds.at == '{') {
        struct plan_store store = open_plan_store(place->folder);
        lock_plan_store(&store);
        if (!find_plan(&store, place, &known))
            save_plan(&store, text);
    }
    return true;
}

/* A plan that `enclavize run` has made before. */
static bool kept_plan(const struct command_line *line, int bundle, const struct place *place, struct plan *plan)
{
    struct plan_store store = open_plan_store(place->folder);
    if (find_plan(&store, place, plan))
        return true;
    if (!write_file(bundle, UNDECIDED, json_literal(""), 0600))
        fail(line, "cannot write to the bundle", errno);
    return false;
}

/* The plan for this container: of the caller, one that was made before, or a new one. */
static bool get_plan(const struct command_line *line, char **argv, const char *tree, int bundle, struct place *place, struct plan *plan)
{
    char program[PATH_MAX], option[PATH_MAX + sizeof(PLAN_SWITCH "=")];
    struct json text;
    bool is_given = line->plan || line->kept_plan;
    if (is_given && !own_path(program))
        return fail(line, "cannot tell where rune is", errno);
    if (!is_given && !find_python_part(line, program))
        return false;
    place->program = program;
    if (is_given)
        return line->plan ? given_plan(line, place, plan) : kept_plan(line, bundle, place, plan);
    struct plan_store store = open_plan_store(place->folder);
    if (find_plan(&store, place, plan))
        return true;
    lock_plan_store(&store);
    if (find_plan(&store, place, plan)) /* of one that started together with this */
        return true;
    snprintf(option, sizeof(option), PLAN_SWITCH "%s%s", tree ? "=" : "", tree ? tree : "");
    if (!ask_python_part(line, program, option, argv, &text))
        return false;
    if (!read_plan(text, plan))
        return fail(line, "enclavize-rune is not of the version of rune", 0);
    if (*plan->holds.at == '{')
        save_plan(&store, text);
    return true;
}

/* In one step: whoever reads it meanwhile reads the old or the new one. */
static bool replace_config(const struct command_line *line, int bundle, const struct text *changed)
{
    char temporary[64];
    struct stat status;
    snprintf(temporary, sizeof(temporary), ".new-%ld", (long)getpid());
    if (fstatat(bundle, CONFIG, &status, 0) == 0 && write_file(bundle, temporary, text_json(changed), status.st_mode & 07777) &&
        renameat(bundle, temporary, bundle, CONFIG) == 0)
        return true;
    int error = errno;
    unlinkat(bundle, temporary, 0);
    return fail(line, "cannot write " CONFIG " of the bundle", error);
}

bool prepare_tee_bundle(const struct command_line *line, char **argv, const char *tree)
{
    struct place place = {0};
    struct plan plan;
    struct text changed = {0};
    int bundle = open(line->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (bundle < 0)
        return fail(line, "cannot open the bundle", errno);
    if (!find_place(line, bundle, tree, &place) || !get_plan(line, argv, tree, bundle, &place, &plan))
        return false;
    if (!plan_fits(&plan, place.config) || !apply_plan(&plan, &place, &changed))
        return fail(line, CONFIG " of the bundle is not what was decided about", 0);
    if (plan.has_folder && !make_pal_run(bundle, place.config))
        return fail(line, "cannot make the container's folder for its PAL", errno);
    return replace_config(line, bundle, &changed);
}
