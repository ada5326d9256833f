"""The functions of the language: one row of one table each, and those over units.

No function simplifies itself, and each derivative is written in a form that neither overflows nor cancels. A function
is a class with its ``row`` in one of the modules here; whatever asks about functions reads :data:`FUNCTIONS`.
"""

from symcell.symbolic.functions.activations import Elu as Elu, Softplus as Softplus, Softsign as Softsign
from symcell.symbolic.functions.composed import (
    Gelu as Gelu,
    LeakyRelu as LeakyRelu,
    LogSigmoid as LogSigmoid,
    Silu as Silu,
)
from symcell.symbolic.functions.conditions import (
    Detached as Detached,
    Equal as Equal,
    Greater as Greater,
    GreaterEqual as GreaterEqual,
    Less as Less,
    LessEqual as LessEqual,
    NotEqual as NotEqual,
    Predicate as Predicate,
    Where as Where,
)
from symcell.symbolic.functions.error import Erf as Erf, NormalCdf as NormalCdf
from symcell.symbolic.functions.piecewise import (
    Abs as Abs,
    Clip as Clip,
    HardSigmoid as HardSigmoid,
    HardTanh as HardTanh,
    Maximum as Maximum,
    Minimum as Minimum,
    Relu as Relu,
    Sign as Sign,
)
from symcell.symbolic.functions.printing import (
    c_names as c_names,
    calls as calls,
    cost as cost,
    prelude as prelude,
    python_helpers as python_helpers,
    used as used,
)
from symcell.symbolic.functions.smooth import (
    Cos as Cos,
    EuclideanRoot as EuclideanRoot,
    Exp as Exp,
    Log as Log,
    Power as Power,
    Sigmoid as Sigmoid,
    Sin as Sin,
    Sqrt as Sqrt,
    Tanh as Tanh,
)
from symcell.symbolic.functions.table import (
    FUNCTIONS as FUNCTIONS,
    TRANSCENDENTAL as TRANSCENDENTAL,
    Elementwise as Elementwise,
    Row as Row,
    expand as expand,
    real as real,
)
from symcell.symbolic.over_units import (
    NORM_EPSILON as NORM_EPSILON,
    OVER_UNITS as OVER_UNITS,
    Dot as Dot,
    LayerNorm as LayerNorm,
    OverUnits as OverUnits,
    RmsNorm as RmsNorm,
    Softmax as Softmax,
    UnitFunction as UnitFunction,
    UnitMax as UnitMax,
    UnitMean as UnitMean,
    UnitNorm as UnitNorm,
    UnitSum as UnitSum,
    UnitVar as UnitVar,
)

ELEMENTWISE: dict[str, type[Elementwise]] = {f.text: f for f in FUNCTIONS if f.spoken}
"""The language's elementwise functions by name."""
