#!/usr/bin/env bash
# End what start.sh started: jobs, daemons, the links in /etc/slurm, and DIR itself. Works in any state, half-started too.
set -uo pipefail
dir=$(realpath -m "$1")

ours() { # the daemons that run, and what is left of a job whose node has died: DIR is where all of them are
    for process in /proc/[0-9]*; do
        if [ "$(readlink "$process/cwd")" = "$dir" ]; then echo "${process#/proc/}"; fi
    done
    cat "$dir/munge/munged.pid" 2> /dev/null
}

if [ "$(readlink /etc/slurm/slurm.conf)" = "$dir/slurm.conf" ]; then
    timeout 5 scancel --user=root 2> /dev/null
    for _ in $(seq 50); do
        [ -n "$(timeout 5 squeue -h 2> /dev/null)" ] || break
        sleep 0.1
    done
fi
for signal in TERM KILL; do
    # shellcheck disable=SC2046
    kill -s "$signal" $(ours) 2> /dev/null
    for _ in $(seq 50); do
        # shellcheck disable=SC2046
        kill -0 $(ours) 2> /dev/null || break 2
        sleep 0.1
    done
done
# Left behind with no controller, they would make every command of Slurm, and every start of Snakemake, wait for one.
for file in slurm.conf gres.conf; do
    if [ "$(readlink "/etc/slurm/$file")" = "$dir/$file" ]; then rm "/etc/slurm/$file"; fi
done
rm -rf "$dir"
