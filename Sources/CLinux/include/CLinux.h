#pragma once
#define _GNU_SOURCE
#include <stdint.h>
