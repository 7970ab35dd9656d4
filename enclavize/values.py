"""Frozen dataclasses that cost nothing to define.

For each class the standard library writes the source text of six functions and compiles it, which takes
0.3 ms, and loads what takes programs apart for that, 6 ms more; a command has a hundred classes. These share
their functions. They are what type checkers take them for: ``dataclasses.fields``, ``asdict`` and ``replace``
take them, too. None has slots or can be changed: what needs that is the standard library's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Class = TypeVar("Class", bound=type[Any])

__all__ = ["dataclass", "field", "field_names", "replace"]

_FIELDS = "__value_fields__"


class _Field:
    """How a field is treated, as in ``dataclasses.field``. ``...`` stands for what there is not."""

    def __init__(
        self,
        *,
        default: Any = ...,
        default_factory: Any = ...,
        repr: bool = True,  # noqa: A002 - their names in ``dataclasses``
        hash: bool | None = None,  # noqa: A002
        compare: bool = True,
    ) -> None:
        self.default = default
        self.default_factory = default_factory
        self.repr = repr
        self.hash = hash
        self.compare = compare


def _dataclass(*, frozen: bool, kw_only: bool = False) -> Callable[[Class], Class]:
    """Give a class what ``dataclasses.dataclass`` gives a frozen one."""
    assert frozen

    def complete(cls: Class) -> Class:
        fields = _fields_of(cls)
        made = {
            "__init__": _initialiser(
                cls.__qualname__, fields, kw_only=kw_only, checked=hasattr(cls, "__post_init__")
            ),
            "__repr__": _representation(fields),
            "__eq__": _equality(fields),
            "__hash__": _hash(fields),
            "__setattr__": _refuse_to_set,
            "__delattr__": _refuse_to_set,
            "__match_args__": () if kw_only else tuple(fields),
            "__dataclass_fields__": _StandardFields(fields),
            _FIELDS: fields,
        }
        for name, value in made.items():
            setattr(cls, name, value)
        return cls

    return complete


def _fields_of(cls: type[Any]) -> dict[str, _Field]:
    """Return the fields of a class and of those that it extends; leave the defaults alone in the class."""
    fields: dict[str, _Field] = {}
    for base in reversed(cls.__mro__[1:]):
        fields.update(base.__dict__.get(_FIELDS, {}))
    for name in cls.__annotations__:
        given = cls.__dict__.get(name, ...)
        field = given if isinstance(given, _Field) else _Field(default=given)
        fields[name] = field
        if field.default is not ...:
            setattr(cls, name, field.default)
        elif given is not ...:
            delattr(cls, name)
    return fields


def _initialiser(
    title: str, fields: Mapping[str, _Field], *, kw_only: bool, checked: bool
) -> Callable[..., None]:
    names = tuple(fields)
    known = frozenset(names)
    defaults = {name: field.default for name, field in fields.items() if field.default is not ...}
    factories = {
        name: field.default_factory for name, field in fields.items() if field.default_factory is not ...
    }
    required = known - defaults.keys() - factories.keys()

    def initialise(self: Any, /, *positional: Any, **values: Any) -> None:
        if positional:
            if (
                kw_only
                or len(positional) > len(names)
                or not values.keys().isdisjoint(names[: len(positional)])
            ):
                raise TypeError(f"{title}: values without a name, more than there are or given twice")
            values.update(zip(names, positional, strict=False))
        if not required <= values.keys() <= known:
            missing, unknown = sorted(required - values.keys()), sorted(values.keys() - known)
            raise TypeError(f"{title}: missing {missing}, unknown {unknown}")
        state = self.__dict__
        state.update(defaults)
        for name, make in factories.items():
            if name not in values:
                state[name] = make()
        state.update(values)
        if checked:
            self.__post_init__()

    return initialise


def _representation(fields: Mapping[str, _Field]) -> Callable[[Any], str]:
    names = [name for name, field in fields.items() if field.repr]

    def represent(self: Any) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({values})"

    return represent


def _equality(fields: Mapping[str, _Field]) -> Callable[[Any, object], Any]:
    compared = [name for name, field in fields.items() if field.compare]

    def equal(self: Any, other: object) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in compared)

    return equal


def _hash(fields: Mapping[str, _Field]) -> Callable[[Any], int]:
    hashed = [name for name, field in fields.items() if (field.compare if field.hash is None else field.hash)]

    def hash_of(self: Any) -> int:
        return hash(tuple(getattr(self, name) for name in hashed))

    return hash_of


def _refuse_to_set(self: object, name: str, _value: object = None) -> NoReturn:
    raise AttributeError(f"{type(self).__qualname__}.{name} cannot be changed")


class _StandardFields:
    """What the functions of ``dataclasses`` look for in a class; made when they do."""

    def __init__(self, fields: Mapping[str, _Field]) -> None:
        self._fields = fields
        self._made: Any = None

    def __get__(self, _instance: object, _owner: type) -> Any:
        if self._made is None:
            import dataclasses

            def standard(field: _Field) -> Any:
                given = {name: value for name, value in vars(field).items() if value is not ...}
                return dataclasses.field(**given)

            made = [(name, Any, standard(field)) for name, field in self._fields.items()]
            like: Any = dataclasses.make_dataclass("Like", made, kw_only=True)
            self._made = like.__dataclass_fields__
        return self._made


def field_names(cls: type[Any]) -> tuple[str, ...]:
    """Return the names of the fields of one of these classes."""
    return tuple(getattr(cls, _FIELDS))


def _replace(value: Any, /, **changes: Any) -> Any:
    """Return the same with other fields; of any dataclass."""
    fields: Iterable[str] | None = getattr(type(value), _FIELDS, None)
    if fields is None:
        import dataclasses

        return dataclasses.replace(value, **changes)
    return type(value)(**{name: getattr(value, name) for name in fields} | changes)


if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace
else:
    dataclass, field, replace = _dataclass, _Field, _replace
