"""answers that go on without a reader: what they say so far, their sources, who writes them and whether to stop

Revision: 0010
After: 0009
"""

import server.db.base
import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Never as a batch, see 0002.
    op.add_column('message', sa.Column('attempt', sa.Integer(), nullable=False, server_default='1'))
    op.add_column('message', sa.Column('writing_until', server.db.base.UTCDateTime(), nullable=True))
    op.add_column('message', sa.Column('stop_wanted', sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column('message', sa.Column('sources', sa.JSON(none_as_null=True), nullable=True))
    op.add_column('message', sa.Column('progress', sa.JSON(none_as_null=True), nullable=True))
    op.add_column('message', sa.Column('outcome', sa.String(length=16), nullable=True))
    op.add_column('message', sa.Column('follow_ups', sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    for column in ('follow_ups', 'outcome', 'progress', 'sources', 'stop_wanted', 'writing_until', 'attempt'):
        op.drop_column('message', column)
